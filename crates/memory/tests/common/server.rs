//! A PostgreSQL server on the loopback interface, for one test: it ends with the test, however that ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ccl_memory::PostgresMemory;
use postgres::{Client, Config, NoTls};

const PASSWORD: &str = "correct horse";
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(|_| Vec::new())
    }

    /// With a certificate of its own: the server, and the certificate's file.
    pub fn start_with_tls() -> (Self, PathBuf) {
        let server = Self::start_with(|folder| {
            let file = |name: &str| folder.join(name).display().to_string();
            let mut openssl = unprivileged(Path::new("openssl"));
            openssl
                .args([
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                ])
                .args([
                    "-subj",
                    "/CN=test",
                    "-addext",
                    "subjectAltName=IP:127.0.0.1",
                ])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .args([
                    "-keyout",
                    &file("key.pem"),
                    "-out",
                    &file("certificate.pem"),
                ]);
            succeeded(openssl.current_dir(folder).output().unwrap());
            let key = Command::new("chmod")
                .arg("600")
                .arg(file("key.pem"))
                .output();
            succeeded(key.unwrap());
            vec![
                "ssl=on".to_owned(),
                format!("ssl_key_file={}", file("key.pem")),
                format!("ssl_cert_file={}", file("certificate.pem")),
            ]
        });
        let certificate = server.folder.path().join("certificate.pem");
        (server, certificate)
    }

    fn start_with(settings: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            let chown = Command::new("chown")
                .arg("nobody")
                .arg(folder.path())
                .output();
            succeeded(chown.unwrap());
        }
        let password = folder.path().join("password");
        let mut file = std::fs::File::create(&password).unwrap();
        writeln!(file, "{PASSWORD}").unwrap();
        let data = folder.path().join("data");
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb
            .args([
                "--no-sync",
                "--auth=scram-sha-256",
                "--username=tester",
                "--encoding=UTF8",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg(&data);
        succeeded(initdb.current_dir(folder.path()).output().unwrap());
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let settings = settings(folder.path());
        let process = unprivileged(&programs.join("postgres"))
            .args(settings.iter().flat_map(|s| ["-c", s.as_str()]))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "fsync=off", "-c", "unix_socket_directories="])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            folder,
            programs,
            port,
            process,
        };
        let begun = Instant::now();
        while server.try_client("postgres").is_err() {
            let ended = server.process.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(begun.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn try_client(&self, database: &str) -> Result<Client, postgres::Error> {
        Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user("tester")
            .password(PASSWORD)
            .dbname(database)
            .connect(NoTls)
    }

    /// A connection of somebody else's.
    pub fn client(&self, database: &str) -> Client {
        self.try_client(database).unwrap()
    }

    /// The same for a program that knows the password.
    pub fn address_with_password(&self, database: &str) -> String {
        let password = PASSWORD.replace(' ', "%20");
        self.address(database)
            .replace("tester@", &format!("tester:{password}@"))
    }

    /// A new database, and its address without the password.
    pub fn database(&self, name: &str) -> String {
        let create = format!("CREATE DATABASE {name}");
        self.client("postgres").batch_execute(&create).unwrap();
        self.address(name)
    }

    pub fn address(&self, database: &str) -> String {
        format!("postgres://tester@127.0.0.1:{}/{database}", self.port)
    }

    pub fn open(&self, address: &str) -> PostgresMemory {
        PostgresMemory::open(address, Some(PASSWORD)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let stopped = unprivileged(&self.programs.join("pg_ctl"))
            .args(["stop", "--silent", "--mode=immediate", "-D"])
            .arg(data)
            .current_dir(self.folder.path())
            .output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// Where the newest server's programs are: Debian's folders, or what CCL_POSTGRES names.
fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("CCL_POSTGRES") {
        return named.into();
    }
    let releases = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let found = releases
        .filter_map(|release| {
            let release = release.ok()?;
            let number: u32 = release.file_name().to_str()?.parse().ok()?;
            let programs = release.path().join("bin");
            programs
                .join("initdb")
                .exists()
                .then_some((number, programs))
        })
        .max();
    let missing = "PostgreSQL's server is missing: apt-get install postgresql (`make test` does), or name the folder \
                   of initdb in CCL_POSTGRES";
    found.expect(missing).1
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// A command that ends when this thread does, and is not run by root: the server refuses that.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg(program);
    command
}

fn succeeded(output: Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
