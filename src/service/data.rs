//! Lines of data: a source on another machine presents its grant, and operations follow. The engine looks at the grant and serves
//! the line, on threads of its own.

use super::House;
use super::door::Guest;
use crate::api::{ApiError, Code};
use crate::engine::grants::Admitted;
use crate::wire::control::{Admit, Incoming, Present, STRANGER_MAX, frame};
use crate::wire::tls::shown_by;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// How long a source may take to present its grant, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a line in that was greeted. `guest`: its place at the door, until it is admitted.
pub(super) async fn run(mut stream: TlsStream<TcpStream>, from: SocketAddr, house: Arc<House>, guest: Guest) {
    let Some(key) = shown_by(stream.get_ref().1) else { return };
    let mut incoming = Incoming::new(&mut stream);
    let Ok(Ok(Some(present))) = timeout(PATIENCE, incoming.next::<Present>(STRANGER_MAX)).await else {
        return;
    };
    // Until it is answered it has nothing more to say.
    if incoming.into_inner().is_none() {
        return;
    }
    let engine = Arc::clone(&house.engine);
    let asked = tokio::task::spawn_blocking(move || engine.admit(key, from, &present));
    let (admitted, answer) = match asked.await {
        Ok(Ok(admitted)) => {
            let heard = admitted.as_ref().map_or(0, Admitted::heard);
            (admitted, Admit::Admitted(heard))
        }
        Ok(Err(error)) => (None, Admit::Refused(error)),
        Err(_) => {
            (None, Admit::Refused(ApiError::new(Code::UnknownError, "an internal error ended the request")))
        }
    };
    let told = timeout(PATIENCE, async {
        stream.write_all(&frame(&answer, STRANGER_MAX).map_err(std::io::Error::other)?).await?;
        stream.flush().await
    });
    let told = matches!(told.await, Ok(Ok(())));
    if let (Some(admitted), true) = (admitted, told) {
        let (socket, tls) = stream.into_inner();
        let engine = Arc::clone(&house.engine);
        // One that goes on may have to wait until what came before is heard.
        let served = tokio::task::spawn_blocking(move || {
            let served = socket.into_std().and_then(|socket| engine.serve(admitted, tls, socket));
            if let Err(error) = served {
                engine.note(&format!("A line of {from} could not be served: {error}"));
            }
        });
        // A panic there has been reported by the runtime.
        let _ = served.await;
    } else {
        let _ = timeout(PATIENCE, stream.shutdown()).await;
    }
    drop(guest);
}
