//! A memory in PostgreSQL, for a team.
//!
//! Two tables in the schema that the connection's search path names first. With `sslmode=require` in the address the
//! connection is encrypted and the server's certificate checked; else it is neither. A call blocks its thread and must not be
//! made from inside an asynchronous runtime's.

use std::error::Error as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::types::ToSql;
use postgres::{Client, Config, IsolationLevel, NoTls, Statement, Transaction};

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::MemoryError;
use crate::rows::{
    Access, Engine, Found, Kind, MIGRATIONS, Origin, PUT, REMOVE, Row, Rows, SCHEMA_VERSION,
    Select, Value,
};

/// How long to wait for a server, where the address does not say.
const CONNECT: Duration = Duration::from_secs(10);
/// Number of the lock that makers of the schema take: "ccl-mem" in ASCII, so that nobody else's is the same.
const SCHEMA_LOCK: i64 = 0x0063_636c_2d6d_656d;

/// A memory in PostgreSQL.
pub struct PostgresMemory {
    client: Client,
    place: String,
}

impl PostgresMemory {
    /// Opens a database, `postgres://USER@HOST/DATABASE`, and makes the tables where they do not exist. `password` is
    /// for an address without one.
    ///
    /// # Errors
    /// An address that cannot be read, a server that does not answer or refuses, and a newer schema, which is
    /// untouched then.
    pub fn open(url: &str, password: Option<&str>) -> Result<Self, MemoryError> {
        let place = without_password(url);
        let wrong = |reason: String| MemoryError::Address {
            address: place.clone(),
            reason,
        };
        let mut config =
            Config::from_str(url).map_err(|_| wrong("not an address of PostgreSQL".to_owned()))?;
        if let (None, Some(password)) = (config.get_password(), password) {
            config.password(password);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.application_name("ccl-agent");
        let client = match config.get_ssl_mode() {
            SslMode::Require => config.connect(tls().map_err(wrong)?),
            // Nobody asked, and a server's own certificate is seldom one to be trusted.
            _ => config.connect(NoTls),
        };
        let client = client.map_err(|e| refused(&place, &e))?;
        let mut memory = Self { client, place };
        memory.migrate()?;
        Ok(memory)
    }

    /// Brings the schema up to date; of several at it, one does. What is newer is not written to.
    fn migrate(&mut self) -> Result<(), MemoryError> {
        let place = &self.place;
        let migrate = |client: &mut Client| -> Result<u32, postgres::Error> {
            let mut transaction = client.transaction()?;
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK])?;
            let known =
                transaction.query_one("SELECT to_regclass('ccl_agent_schema') IS NOT NULL", &[])?;
            let found = if known.get(0) {
                let row = transaction.query_one("SELECT version FROM ccl_agent_schema", &[])?;
                u32::try_from(row.get::<_, i64>(0)).unwrap_or(u32::MAX)
            } else {
                0
            };
            if found >= SCHEMA_VERSION {
                return Ok(found);
            }
            if found == 0 {
                transaction.batch_execute(
                    "CREATE TABLE ccl_agent_schema (version BIGINT NOT NULL);
                     INSERT INTO ccl_agent_schema VALUES (0);",
                )?;
            }
            for migration in MIGRATIONS.iter().skip(found as usize) {
                transaction.batch_execute(migration)?;
            }
            transaction.execute(
                "UPDATE ccl_agent_schema SET version = $1",
                &[&i64::from(SCHEMA_VERSION)],
            )?;
            transaction.commit()?;
            Ok(SCHEMA_VERSION)
        };
        let found = migrate(&mut self.client).map_err(|e| refused(place, &e))?;
        if found > SCHEMA_VERSION {
            return Err(MemoryError::Newer {
                place: place.clone(),
                found,
                known: SCHEMA_VERSION,
            });
        }
        Ok(())
    }
}

/// TLS with the certificates that this machine trusts: its own store, or what `SSL_CERT_FILE` names.
fn tls() -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| format!("sslmode=require: {error}"))?;
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// The address as it may be shown; of one that cannot be read, nothing but its kind.
pub(crate) fn without_password(url: &str) -> String {
    let Ok(config) = Config::from_str(url) else {
        return "postgres://...".to_owned();
    };
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.display().to_string(),
        })
        .collect();
    let user = config.get_user().map_or(String::new(), |u| format!("{u}@"));
    let port = config
        .get_ports()
        .first()
        .map_or(String::new(), |p| format!(":{p}"));
    let database = config
        .get_dbname()
        .map_or(String::new(), |d| format!("/{d}"));
    format!("postgres://{user}{}{port}{database}", hosts.join(","))
}

/// What the server or the connection said, without what was sent.
fn refused(place: &str, error: &postgres::Error) -> MemoryError {
    let reason = match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    };
    MemoryError::Database {
        place: place.to_owned(),
        reason,
    }
}

impl Engine for PostgresMemory {
    fn place(&self) -> &str {
        &self.place
    }

    fn transaction<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let place = &self.place;
        let transaction = match access {
            Access::Read => self
                .client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .read_only(true)
                .start(),
            Access::Write => self.client.transaction(),
        };
        let mut transaction = transaction.map_err(|e| refused(place, &e))?;
        if access == Access::Write {
            // Keeps other writers out, and lets readers in.
            transaction
                .batch_execute("LOCK TABLE ccl_agent_record IN SHARE ROW EXCLUSIVE MODE")
                .map_err(|e| refused(place, &e))?;
        }
        let mut rows = Open {
            transaction,
            place,
            put: None,
        };
        let done = work(&mut rows)?;
        rows.transaction.commit().map_err(|e| refused(place, &e))?;
        Ok(done)
    }
}

struct Open<'a> {
    transaction: Transaction<'a>,
    place: &'a str,
    put: Option<Statement>,
}

fn parameters<'a>(values: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    let parameter = |value: &'a Value<'a>| -> &'a (dyn ToSql + Sync) {
        match value {
            Value::Text(text) => text,
            Value::Number(number) => number,
        }
    };
    values.iter().map(parameter).collect()
}

impl Rows for Open<'_> {
    fn find(&mut self, select: &Select) -> Result<Vec<Found>, MemoryError> {
        let (sql, values) = select.rows();
        let rows = self
            .transaction
            .query(&sql, &parameters(&values))
            .map_err(|e| refused(self.place, &e))?;
        let mut found: Vec<Found> = rows
            .iter()
            .map(|row| Found {
                id: row.get(0),
                opposed: u32::try_from(row.get::<_, i64>(1)).unwrap_or(u32::MAX),
                body: row.get(2),
            })
            .collect();
        // The server's order follows its language.
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn scan(
        &mut self,
        select: &Select,
        each: &mut dyn FnMut(&str, u32, &str) -> Result<(), MemoryError>,
    ) -> Result<(), MemoryError> {
        let (sql, values) = select.signatures();
        let rows = self
            .transaction
            .query(&sql, &parameters(&values))
            .map_err(|e| refused(self.place, &e))?;
        for row in &rows {
            let opposed = u32::try_from(row.get::<_, i64>(1)).unwrap_or(u32::MAX);
            each(row.get(0), opposed, row.get(2))?;
        }
        Ok(())
    }

    fn put(&mut self, row: &Row) -> Result<(), MemoryError> {
        let mut put = || {
            let statement = match &self.put {
                Some(statement) => statement.clone(),
                None => self.transaction.prepare(PUT)?,
            };
            self.put = Some(statement.clone());
            self.transaction
                .execute(&statement, &parameters(&row.values()))
        };
        put().map_err(|e| refused(self.place, &e))?;
        Ok(())
    }

    fn remove(&mut self, kind: Kind, origin: Origin, id: &str) -> Result<bool, MemoryError> {
        let values = [kind.word(), origin.word(), id].map(Value::Text);
        let removed = self
            .transaction
            .execute(REMOVE, &parameters(&values))
            .map_err(|e| refused(self.place, &e))?;
        Ok(removed > 0)
    }
}
