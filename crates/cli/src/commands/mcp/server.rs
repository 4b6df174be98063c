//! The protocol's side: what is offered, and calls handed to the run.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use ccl_agent::tools::{self, Entry, ToolError, Touches};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::stdio;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Call;

const INSTRUCTIONS: &str = "One tuning run of NCCL collectives in a training job. describe_workload and list_task_keys \
    tell what can be changed; evidence is cited by id. What is proposed passes a guard and is compared with what runs \
    now in paired iterations; compare_with_baseline is the only figure that may be called a gain. Every answer says \
    whether its figures are measured, recorded or simulated.";

/// Serves stdin and stdout in a thread of its own, until the client closes them; its calls come out of the
/// receiver.
///
/// # Errors
/// A thread or a runtime that cannot be started.
pub(super) fn start(may_touch: Touches) -> io::Result<Receiver<Call>> {
    let (calls, receiver) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("mcp".to_owned())
        .spawn(move || {
            let server = Server { calls, may_touch };
            runtime.block_on(async {
                // A client that says something else than the protocol is gone like one that left.
                if let Ok(service) = server.serve(stdio()).await {
                    let _ = service.waiting().await;
                }
            });
        })?;
    Ok(receiver)
}

struct Server {
    calls: Sender<Call>,
    may_touch: Touches,
}

impl Server {
    fn offered(&self) -> impl Iterator<Item = &'static Entry> {
        let may_touch = self.may_touch;
        tools::all()
            .iter()
            .filter(move |entry| entry.about.touches <= may_touch)
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("ccl-agent", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(name)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(
            self.offered().map(described).collect(),
        ))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let gone = || ErrorData::internal_error("the run has ended", None);
        let (answer, waiting) = oneshot::channel();
        let call = Call {
            tool: request.name.into_owned(),
            arguments: request.arguments.map_or(Value::Null, Value::Object),
            answer,
        };
        self.calls.send(call).map_err(|_| gone())?;
        let result = match waiting.await.map_err(|_| gone())? {
            Ok(value) => CallToolResult::structured(value),
            // The protocol calls an unknown tool the client's mistake, and everything else a result.
            Err(error @ ToolError::Unknown { .. }) => {
                return Err(ErrorData::invalid_params(error.to_string(), None));
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
        };
        Ok(result.into())
    }
}

fn described(entry: &'static Entry) -> Tool {
    let about = entry.about;
    let reads = about.touches == Touches::Nothing;
    let hints = ToolAnnotations::new()
        .read_only(reads)
        .destructive(about.touches == Touches::Job)
        .open_world(false);
    Tool::new(about.name, about.description, object(entry.arguments()))
        .with_raw_output_schema(object(entry.answer()))
        .with_annotations(hints)
}

/// A schema as the protocol takes it: the tools' own tests see to it that each is an object.
fn object(schema: Value) -> Arc<JsonObject> {
    match schema {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}
