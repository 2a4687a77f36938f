//! The thread that answers: open documents, and a request at a time.

use super::checking::{self, Findings, Job, Jobs, Open};
use super::definition::{self, Functions};
use super::document::Document;
use super::frames::{self, Frame};
use super::place::path_of;
use super::protocol::{About, At, DidChange, DidOpen, Range};
use super::{completion, hover};
use crate::lang::{self, Source, Span};
use crate::machine::Connector;
use lsp_server::{ErrorCode, Message, Notification, Request};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

/// So many messages wait to be answered before reading waits, too.
const WAITING: usize = 256;

enum Event {
    Frame(Frame),
    Findings(Findings),
    /// The editor is gone.
    End,
}

/// Serves one editor over standard input and output until it says exit or goes. The exit status: 0 after a shutdown, else 1.
pub fn run(connector: Arc<dyn Connector>) -> i32 {
    let (events, inbox) = sync_channel(WAITING);
    let options = connector.option_names();
    let findings = events.clone();
    let jobs = checking::start(connector, move |found| {
        // Nobody waits for them any more when it cannot be sent.
        let _ = findings.send(Event::Findings(found));
    });
    std::thread::spawn(move || read(&events));
    let mut server = Server {
        output: io::stdout(),
        documents: HashMap::new(),
        jobs,
        options,
        life: Life::Begins,
        exit: None,
    };
    while let Ok(event) = inbox.recv() {
        let done = match event {
            Event::Frame(Frame::Text(text)) => server.take(&text),
            Event::Frame(Frame::Malformed(why)) => {
                server.refuse(Value::Null, ErrorCode::ParseError as i32, &why)
            }
            Event::Findings(found) => server.publish(found),
            Event::End => break,
        };
        if done.is_err() || server.exit.is_some() {
            break;
        }
    }
    server.exit.unwrap_or(i32::from(server.life != Life::Over))
}

fn read(events: &SyncSender<Event>) {
    let mut input = io::stdin().lock();
    // A failure to read is the end, too.
    while let Ok(Some(frame)) = frames::read(&mut input) {
        if events.send(Event::Frame(frame)).is_err() {
            return;
        }
    }
    let _ = events.send(Event::End);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Before `initialize`.
    Begins,
    Runs,
    /// After `shutdown`.
    Over,
}

/// Why a request has no result.
struct Refused(ErrorCode, String);

type Answer = Result<Value, Refused>;

struct Server {
    output: io::Stdout,
    documents: HashMap<String, Document>,
    jobs: Jobs,
    options: Vec<&'static str>,
    life: Life,
    exit: Option<i32>,
}

impl Server {
    fn take(&mut self, text: &[u8]) -> io::Result<()> {
        match frames::message(text) {
            Ok(Message::Request(request)) => {
                let id = serde_json::to_value(&request.id).unwrap_or_default();
                match self.request(request) {
                    Ok(result) => self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result })),
                    Err(Refused(code, why)) => self.refuse(id, code as i32, &why),
                }
            }
            Ok(Message::Notification(notification)) => self.notification(notification),
            // Nothing is asked of the editor.
            Ok(Message::Response(_)) => Ok(()),
            Err((code, why, id)) => self.refuse(id, code, &why),
        }
    }

    fn send(&mut self, document: &Value) -> io::Result<()> {
        frames::write(&mut self.output, document)
    }

    fn refuse(&mut self, id: Value, code: i32, why: &str) -> io::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": why } }))
    }

    fn request(&mut self, request: Request) -> Answer {
        let Request { method, params, .. } = request;
        match (self.life, method.as_str()) {
            (Life::Begins, "initialize") => {
                self.life = Life::Runs;
                Ok(capabilities())
            }
            (Life::Begins, _) => {
                Err(Refused(ErrorCode::ServerNotInitialized, "initialize comes first".to_owned()))
            }
            (Life::Over, _) => {
                Err(Refused(ErrorCode::InvalidRequest, "nothing comes after shutdown but exit".to_owned()))
            }
            (Life::Runs, "initialize") => {
                Err(Refused(ErrorCode::InvalidRequest, "initialize came already".to_owned()))
            }
            (Life::Runs, "shutdown") => {
                self.life = Life::Over;
                Ok(Value::Null)
            }
            (Life::Runs, "textDocument/completion") => {
                let (document, path, offset) = self.at(params)?;
                Ok(completion::complete(document, offset, path.as_deref(), &self.options))
            }
            (Life::Runs, "textDocument/hover") => {
                let (document, path, offset) = self.at(params)?;
                let path = path.unwrap_or_default();
                let functions = Functions { text: document.text(), path: &path };
                Ok(hover::hover(document, offset, &functions))
            }
            (Life::Runs, "textDocument/definition") => {
                let (document, path, offset) = self.at(params)?;
                Ok(json!(definition::definition(document, &path.unwrap_or_default(), offset)))
            }
            (Life::Runs, "textDocument/formatting") => {
                let about: About = given(params)?;
                Ok(formatted(self.document(&about.text_document.uri)?))
            }
            (Life::Runs, _) => {
                Err(Refused(ErrorCode::MethodNotFound, format!("{method} is not served here")))
            }
        }
    }

    fn document(&self, uri: &str) -> Result<&Document, Refused> {
        let unknown = || Refused(ErrorCode::InvalidParams, format!("{uri} is not open"));
        self.documents.get(uri).ok_or_else(unknown)
    }

    /// The document, its file and the byte that a request is about.
    fn at(&self, params: Value) -> Result<(&Document, Option<PathBuf>, usize), Refused> {
        let at: At = given(params)?;
        let document = self.document(&at.text_document.uri)?;
        Ok((document, path_of(&at.text_document.uri), document.offset(at.position)))
    }

    fn notification(&mut self, notification: Notification) -> io::Result<()> {
        let Notification { method, params } = notification;
        if method == "exit" {
            self.exit = Some(i32::from(self.life != Life::Over));
            return Ok(());
        }
        if self.life != Life::Runs {
            return Ok(());
        }
        // Nobody waits for an answer, so what cannot be understood is passed over.
        match method.as_str() {
            "textDocument/didOpen" => {
                if let Ok(DidOpen { text_document: opened }) = given(params) {
                    self.documents.insert(opened.uri.clone(), Document::new(opened.text, opened.version));
                    self.check(&opened.uri);
                }
            }
            "textDocument/didChange" => {
                if let Ok(DidChange { text_document: named, content_changes }) = given(params)
                    && let Some(document) = self.documents.get_mut(&named.uri)
                {
                    content_changes.iter().for_each(|change| document.change(change));
                    document.version = named.version.unwrap_or(document.version + 1);
                    self.check(&named.uri);
                }
            }
            "textDocument/didClose" => {
                if let Ok(About { text_document: named }) = given(params) {
                    self.documents.remove(&named.uri);
                    self.jobs.send(Job::Closed(named.uri.clone()));
                    return self.show(&named.uri, None, &[]);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check(&self, uri: &str) {
        let Some(document) = self.documents.get(uri) else { return };
        let open = Open {
            uri: uri.to_owned(),
            version: document.version,
            text: document.text().into(),
            path: path_of(uri).unwrap_or_else(|| PathBuf::from(uri)),
        };
        self.jobs.send(Job::Check(open));
    }

    /// Findings of a text that is there no more are not shown.
    fn publish(&mut self, found: Findings) -> io::Result<()> {
        match self.documents.get(&found.uri) {
            Some(document) if document.version == found.version => {
                self.show(&found.uri, Some(found.version), &found.diagnostics)
            }
            _ => Ok(()),
        }
    }

    fn show(&mut self, uri: &str, version: Option<i64>, diagnostics: &[Value]) -> io::Result<()> {
        let mut params = json!({ "uri": uri, "diagnostics": diagnostics });
        if let Some(version) = version {
            params["version"] = version.into();
        }
        self.send(&json!({ "jsonrpc": "2.0", "method": "textDocument/publishDiagnostics", "params": params }))
    }
}

fn given<T: DeserializeOwned>(params: Value) -> Result<T, Refused> {
    serde_json::from_value(params).map_err(|error| Refused(ErrorCode::InvalidParams, error.to_string()))
}

fn capabilities() -> Value {
    json!({
        "capabilities": {
            "positionEncoding": "utf-16",
            // Edits come as they are made.
            "textDocumentSync": { "openClose": true, "change": 2 },
            "completionProvider": { "triggerCharacters": [" ", "$", "/", "\"", "'"] },
            "hoverProvider": true,
            "definitionProvider": true,
            "documentFormattingProvider": true,
        },
        "serverInfo": { "name": "DTCL", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// One edit that leaves alone what is equal at both ends; none if nothing differs or the script has errors, which are shown already.
fn formatted(document: &Document) -> Value {
    let old = document.text();
    let Ok(new) = lang::format(&Source::new("", old)) else { return Value::Null };
    if new == old {
        return json!([]);
    }
    let same = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    // Whole lines, so that no character is cut.
    let start = old[..floor(old, same)].rfind('\n').map_or(0, |end| end + 1);
    let left = (old.len() - start).min(new.len() - start);
    let same = old.bytes().rev().zip(new.bytes().rev()).take(left).take_while(|(a, b)| a == b).count();
    let tail = &old[ceil(old, old.len() - same)..];
    let kept = tail.find('\n').map_or(0, |end| tail.len() - end - 1);
    let range: Range = document.range(Span::new(start, old.len() - kept));
    json!([{ "range": range, "newText": &new[start..new.len() - kept] }])
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsp::protocol::Change;

    #[test]
    fn an_edit_that_formats_leaves_alone_what_is_equal() {
        for text in [
            "",
            "a",
            "write 1\nwrite   2\nwrite 3\n",
            "write \"ä\"\nwrite  \"ö\"",
            "\n\n\nwrite ü\n\n",
            "x\n\n\n\n\ny\n",
        ] {
            let mut document = Document::new(text.to_owned(), 0);
            let wanted = lang::format(&Source::new("", text)).unwrap();
            let edits: Vec<Change> = serde_json::from_value(
                formatted(&document)
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|edit| json!({ "range": edit["range"], "text": edit["newText"] }))
                    .collect(),
            )
            .unwrap();
            edits.iter().for_each(|edit| document.change(edit));
            assert_eq!(document.text(), wanted, "{text:?}");
        }
        let document = Document::new("write 1\nwrite   2\nwrite 3\n".to_owned(), 0);
        assert_eq!(formatted(&document)[0]["newText"], "write 2\n");
        assert_eq!(formatted(&Document::new("write \"".to_owned(), 0)), Value::Null);
    }
}
