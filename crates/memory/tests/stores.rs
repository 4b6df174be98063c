//! One suite for every store, and what only a database of its kind can do wrong.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
#[path = "common/server.rs"]
mod server;
#[path = "common/suite.rs"]
mod suite;

use std::sync::Barrier;

use ccl_core::Source;
use ccl_memory::{Lessons, Memory, MemoryError, PostgresMemory, RuleRecord, SqliteMemory};

use common::{TODAY, query, rng, rules};
use server::Server;
use suite::CASES;

const SOURCE: Source = Source::Measured;

#[test]
fn sqlite_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    for (name, case) in CASES {
        println!("{name}");
        case(&mut SqliteMemory::open(&folder.path().join(name)).unwrap());
        case(&mut SqliteMemory::in_memory().unwrap());
    }
}

#[test]
fn postgres_passes_the_suite() {
    let server = Server::start();
    for (name, case) in CASES {
        println!("{name}");
        let address = server.database(name);
        case(&mut server.open(&address));
    }
}

#[test]
fn both_recall_the_same_of_a_thousand_rules() {
    let server = Server::start();
    let lessons = Lessons {
        rules: rules(1000, 20),
        ..Lessons::of(SOURCE, TODAY)
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.sqlite");
    let mut sqlite = SqliteMemory::open(&file).unwrap();
    let mut postgres = server.open(&server.database("thousand"));
    sqlite.learn(&lessons).unwrap();
    postgres.learn(&lessons).unwrap();
    let mut recalled = 0;
    for seed in 0..200 {
        let query = query(30, &mut rng(seed));
        let found = sqlite.recall(SOURCE, &query).unwrap();
        assert_eq!(found, postgres.recall(SOURCE, &query).unwrap());
        recalled += found.len();
    }
    assert!(recalled > 1000, "{recalled}");
    assert_eq!(sqlite.export().unwrap(), postgres.export().unwrap());
}

/// Several open a store that does not exist yet, and come to the same rule and to ones of their own.
fn no_write_is_lost<M: Memory>(open: impl Fn() -> M + Sync) {
    const WRITERS: usize = 6;
    const ROUNDS: u32 = 15;
    let shared = RuleRecord {
        wins: 1,
        losses: 0,
        ..rules(1, 30).remove(0)
    };
    let together = Barrier::new(WRITERS);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (open, shared, together) = (&open, &shared, &together);
            scope.spawn(move || {
                together.wait();
                let mut memory = open();
                for round in 0..ROUNDS {
                    let mut own = shared.clone();
                    own.context.workload = format!("of writer {writer}, {round}");
                    let lessons = Lessons {
                        rules: vec![shared.clone(), own],
                        ..Lessons::of(SOURCE, TODAY)
                    };
                    memory.learn(&lessons).unwrap();
                }
            });
        }
    });
    let known = open().rules(SOURCE).unwrap();
    assert_eq!(known.len(), 1 + WRITERS * ROUNDS as usize);
    let wins = known.iter().find(|r| r.id() == shared.id()).unwrap().wins;
    assert_eq!(wins as usize, WRITERS * ROUNDS as usize);
}

#[test]
fn writers_to_one_file_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/memory.sqlite");
    no_write_is_lost(|| SqliteMemory::open(&file).unwrap());
}

#[test]
fn writers_to_one_server_lose_nothing() {
    let server = Server::start();
    let address = server.database("shared");
    no_write_is_lost(|| server.open(&address));
}

#[test]
fn a_newer_file_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("memory.sqlite");
    drop(SqliteMemory::open(&file).unwrap());
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.pragma_update(None, "journal_mode", "delete").unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let before = std::fs::read(&file).unwrap();
    let refused = SqliteMemory::open(&file).unwrap_err();
    assert!(
        matches!(refused, MemoryError::Newer { found: 99, .. }),
        "{refused}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_server_says_what_is_wrong_and_never_the_password() {
    let server = Server::start();
    let address = server.database("team");
    drop(server.open(&address));
    let with = |password: &str| address.replace("tester@", &format!("tester:{password}@"));
    let said = |address: &str| match PostgresMemory::open(address, None) {
        Ok(_) => panic!("{address} was opened"),
        Err(error) => error.to_string(),
    };
    assert!(said(&address).contains("password missing"));
    let wrong = said(&with("battery-staple"));
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    let missing = said(&with("battery-staple").replace("/team", "/nowhere"));
    let unread = said("postgres://me:battery-staple@host:port/team");
    for said in [&wrong, &missing, &unread] {
        assert!(!said.contains("battery"), "{said}");
    }
    // The password of the address counts, and one that is handed in only where that has none.
    drop(PostgresMemory::open(&with("correct%20horse"), Some("battery-staple")).unwrap());

    let update = "UPDATE ccl_agent_schema SET version = 99";
    server.client("team").batch_execute(update).unwrap();
    let newer = said(&with("correct%20horse"));
    assert!(newer.contains("version 99"), "{newer}");
}

/// Set for the run of this test in a process of its own, which trusts the server's certificate.
const TRUSTED: &str = "CCL_TEST_TRUSTED_SERVER";

#[test]
fn tls_is_spoken_where_it_is_asked_for_and_the_certificate_checked() {
    if let Ok(address) = std::env::var(TRUSTED) {
        let mut memory = PostgresMemory::open(&address, None).unwrap();
        assert_eq!(memory.rules(SOURCE).unwrap(), []);
        return;
    }
    let (server, certificate) = Server::start_with_tls();
    // Only TLS is let in, so that what is let in speaks it.
    let mut client = server.client("postgres");
    let rules = client.query_one("SHOW hba_file", &[]).unwrap();
    let rules: String = rules.get(0);
    std::fs::write(rules, "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    drop(client);
    let plain = server.address_with_password("postgres");
    let address = format!("{plain}?sslmode=require");
    let said = |address: &str| match PostgresMemory::open(address, None) {
        Ok(_) => panic!("{address} was opened"),
        Err(error) => error.to_string(),
    };
    let unknown = said(&address);
    assert!(unknown.contains("certificate"), "{unknown}");
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 30 && PostgresMemory::open(&plain, None).is_ok() {
        // The new rules are not read yet.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(said(&plain).contains("no encryption"), "{}", said(&plain));
    let trusted = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "tls_is_spoken_where_it_is_asked_for_and_the_certificate_checked",
        ])
        .env(TRUSTED, &address)
        .env("SSL_CERT_FILE", &certificate)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&trusted.stdout);
    assert!(
        trusted.status.success() && output.contains("1 passed"),
        "{output}"
    );
}
