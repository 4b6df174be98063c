//! The answer in a reply: JSON that fits the schema, or the question once more with what was wrong.

use serde_json::Value;

use crate::parse::json_in;
use crate::schema::Check;
use crate::{Finish, Message, Reply, Request, Turn};

/// The reply with its answer as JSON; otherwise the reply and the reason.
pub(crate) fn structured(mut reply: Reply, check: &Check) -> Result<Reply, Box<(Reply, String)>> {
    // It calls its tools first, and answers when it has their results.
    if !reply.calls.is_empty() {
        return Ok(reply);
    }
    let mut misfit = None;
    // Models draft first and conclude last.
    for candidate in json_in(&reply.text).into_iter().rev() {
        match check.fit(candidate) {
            Ok(answer) => {
                reply.structured = Some(answer);
                return Ok(reply);
            }
            Err(misfits) => {
                misfit.get_or_insert(misfits);
            }
        }
    }
    let reason = match (reply.finish.clone(), misfit) {
        (Finish::Length, _) => "it was cut off before it was complete".to_owned(),
        (_, Some(misfit)) => misfit,
        (_, None) => "there is no JSON in it".to_owned(),
    };
    Err(Box::new((reply, reason)))
}

/// The question once more, with what was wrong with the answer.
pub(crate) fn repair(request: &Request, reply: &Reply, reason: &str) -> Request {
    /// Enough of a wrong answer to see what is wrong, of one that never ends too.
    const MOST_CHARS: usize = 8000;
    let mut again = request.clone();
    let text: String = reply.text.chars().take(MOST_CHARS).collect();
    // Providers refuse a turn of no words.
    let text = if text.trim().is_empty() {
        "(nothing)".to_owned()
    } else {
        text
    };
    again.messages.push(Message::Assistant(Turn {
        text,
        ..Turn::default()
    }));
    let schema = request.schema.clone().unwrap_or(Value::Null);
    again.messages.push(Message::user(format!(
        "That does not fit: {reason}. Answer again with one JSON object and nothing else. It must \
         fit this JSON Schema:\n{schema}"
    )));
    again
}
