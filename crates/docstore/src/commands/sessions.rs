//! Sessions and the ends of transactions. A session is only a name: what is kept of it are its
//! cursors and its open transaction.

use bson::{Binary, Bson, doc, spec::BinarySubtype};

use super::{call::Call, insert};
use crate::{
    bail,
    error::{Code, Result},
    wire::BsonWriter,
};

/// `startSession`.
pub fn start_session(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let id = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: bson::Uuid::new().bytes().to_vec(),
    };
    insert::finish(doc! { "id": { "id": id }, "timeoutMinutes": 30 }, out)
}

/// `refreshSessions`.
pub fn refresh_sessions(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    Call::ok(out);
    Ok(())
}

/// `endSessions`: the transaction of each is undone, its cursors are closed.
pub fn end_sessions(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    end_listed(call, "endSessions")?;
    Call::ok(out);
    Ok(())
}

/// `killSessions`.
pub fn kill_sessions(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    end_listed(call, "killSessions")?;
    Call::ok(out);
    Ok(())
}

/// `killAllSessions`: ends those of the caller's list, or nothing where it names users (there is
/// one user at most, whose sessions are not known apart).
pub fn kill_all_sessions(_: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    Call::ok(out);
    Ok(())
}

fn end_listed(call: &Call<'_>, name: &str) -> Result<()> {
    for session in call.args.documents(name)?.unwrap_or_default() {
        // A UUID: its subtype is not the generic one.
        if let Some(Bson::Binary(Binary { bytes: id, .. })) = session.get("id") {
            call.service.store.end_session(id);
            call.service.cursors.kill_session(id);
            call.service.sessions.end(id);
        }
    }
    Ok(())
}

/// `commitTransaction`.
pub fn commit_transaction(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(key) = &call.transaction else {
        bail!(
            InvalidOptions,
            "commitTransaction must be run within a transaction"
        )
    };
    let store = &call.service.store;
    let committed = store.commit_transaction(key, call.write_concern.journal, call.deadline);
    call.service.cursors.kill_transaction(key);
    committed?;
    Call::ok(out);
    Ok(())
}

/// `abortTransaction`.
pub fn abort_transaction(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(key) = &call.transaction else {
        bail!(
            InvalidOptions,
            "abortTransaction must be run within a transaction"
        )
    };
    call.service.cursors.kill_transaction(key);
    call.service.store.abort_transaction(key)?;
    Call::ok(out);
    Ok(())
}

/// Marks an error within a transaction so that drivers may run the transaction again.
pub fn label_transient(error: crate::error::CommandError) -> crate::error::CommandError {
    let transient = [
        Code::NoSuchTransaction,
        Code::WriteConflict,
        Code::LockTimeout,
        Code::SnapshotUnavailable,
    ];
    if transient.iter().any(|code| *code as i32 == error.code) {
        return error.with("errorLabels", vec![Bson::from("TransientTransactionError")]);
    }
    error
}
