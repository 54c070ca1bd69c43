//! What a person may want to know before a sync: what the role may see, and what it may not.

use cordon_sdk::Error;

use crate::catalog;
use crate::config::Include;
use crate::fault::Trouble;
use crate::postgres::Postgres;
use crate::reading;
use crate::server::Server;
use crate::targets;

pub(crate) async fn notes(connector: &Postgres) -> Result<Vec<String>, Error> {
    let config = &connector.config;
    let mut session = connector.access.log_in(&config.database, None).await?;
    let (mut transaction, waiting) = session.begin(None).await?;
    let server = Server::look(&mut transaction, waiting).await?;
    server.expect(config)?;
    let mut notes = vec![format!("{}: {}", connector.access.place(), server.told())];
    if config.plaintext {
        notes.push("everything is sent unencrypted, to whoever answers".to_owned());
    }
    let mut families = vec![catalog::roles(server.dialect, &config.bounds)];
    families.extend(connector.shared(&server));
    families.extend(connector.local());
    for family in families {
        let point = waiting.on(family.what, transaction.savepoint("note")).await?;
        match reading::count(&point, waiting, &family).await {
            Ok(counted) => {
                let records: u64 = counted.iter().skip(family.bounds.len()).sum();
                let beyond = reading::beyond(&family, &counted);
                notes.push(beyond.unwrap_or_else(|| format!("{}: {records} records", family.what)));
                waiting.on(family.what, point.commit()).await?;
            }
            Err(Trouble::Denied(reason)) => {
                notes.push(format!("{reason}; what it concerns is incomplete"));
                waiting.on(family.what, point.rollback()).await?;
            }
            Err(Trouble::Failed(error)) => return Err(error),
        }
    }
    let all = targets::databases(&transaction, waiting).await?;
    let (chosen, lacks) = targets::chosen(config, &all);
    let names: Vec<&str> = chosen.iter().map(|database| database.name.as_str()).collect();
    notes.push(format!("reads inside of databases {}", names.join(", ")));
    notes.extend(lacks.into_iter().map(|lack| format!("{lack}; what it concerns is incomplete")));
    if !config.includes(Include::Passwords) {
        notes.push(
            "passwords are not read; their expiry is, as an attribute of the role (`include`)"
                .to_owned(),
        );
    } else if !server.dialect.tracks_commits {
        notes.push(
            "when a role was changed last is not kept by the server (`track_commit_timestamp`)"
                .to_owned(),
        );
    }
    waiting.on("the server", transaction.rollback()).await?;
    Ok(notes)
}
