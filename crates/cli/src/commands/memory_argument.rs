//! The `--memory` option: which store it names, opening it, and what of it may be shown.

use ccl_memory::{Address, Memory, Opening};

use crate::error::CommandError;

/// Where a password comes from that is in no address: PostgreSQL's own variable.
const PASSWORD: &str = "PGPASSWORD";

/// Opens what the option names.
///
/// # Errors
/// An address that names no store, or a store that cannot be opened.
pub fn open(address: &str, opening: Opening) -> Result<Box<dyn Memory>, CommandError> {
    let address: Address = address.parse().map_err(|error| {
        CommandError::bad_input(format!("--memory {error}"))
            .help("a file, a folder, sqlite:FILE or postgres://USER@HOST/DATABASE")
    })?;
    open_at(&address, opening).map_err(|error| {
        CommandError::bad_input(error)
            .help("repair it, name another with --memory, or leave that out")
    })
}

/// Opens the store at an address.
///
/// # Errors
/// A store that cannot be opened.
pub fn open_at(
    address: &Address,
    opening: Opening,
) -> Result<Box<dyn Memory>, ccl_memory::MemoryError> {
    let password = std::env::var(PASSWORD).ok();
    address.open(opening, password.as_deref())
}

/// A command line as it may be written down: addresses of databases without their passwords.
pub fn without_passwords(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let shown = |argument: String| {
        let Some(begin) = ["postgres://", "postgresql://"]
            .iter()
            .filter_map(|scheme| argument.find(scheme))
            .min()
        else {
            return argument;
        };
        let (option, address) = argument.split_at(begin);
        match address.parse::<Address>() {
            Ok(address) => format!("{option}{address}"),
            Err(_) => format!("{option}postgres://..."),
        }
    };
    arguments.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_written_down() {
        let said = [
            "--memory=postgres://me:secret@host/team?password=secret",
            "postgresql://me:secret@host:5433/team",
            "postgres://me:secret@host:no-port/team",
            "--seed",
        ];
        assert_eq!(
            without_passwords(said.map(str::to_owned)),
            [
                "--memory=postgres://me@host:5432/team",
                "postgres://me@host:5433/team",
                "postgres://...",
                "--seed"
            ]
        );
    }
}
