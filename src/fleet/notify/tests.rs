use super::*;
use crate::{fleet::night::What, id::SnapshotId};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

const SPEAKER: Speaker<'_> = Speaker { fleet: "example", host: "alpha" };

fn job(what: What, came: Came) -> Job {
    Job { what, came, seconds: 2.0 }
}

fn report(bad: bool) -> Report {
    let mut jobs = vec![
        job(
            What::Snapshot("alpha/-/wiki".into()),
            Came::Snapshot { id: SnapshotId([1; 32]), files: 1, bytes: 2, new: 3, stored: 4 },
        ),
        job(What::Check("local".into()), Came::Skipped("not due".into())),
    ];
    if bad {
        jobs.push(job(What::Snapshot("alpha/-/shop".into()), Came::Failed("pg_dump: no \"server\"\\".into())));
    }
    Report { jobs, ..Report::default() }
}

fn everybody(address: &str) -> Notify {
    Notify {
        healthcheck: Some(format!("{address}/check?key=1")),
        webhook: Some(format!("{address}/hook")),
        mail: vec!["ann@example.org".into(), "root".into()],
        mail_command: "sendmail -t".into(),
        always: false,
    }
}

fn posts(messages: &[Message]) -> Vec<(&'static str, String)> {
    let post = |message: &Message| match message {
        Message::Post { what, to, .. } => Some((*what, to.whole().to_owned())),
        Message::Mail { .. } => None,
    };
    messages.iter().filter_map(post).collect()
}

#[test]
fn each_is_told_what_it_wants_to_hear() {
    let notify = everybody("https://x");
    let (begin, wrong) = messages(&notify, SPEAKER, Event::Begins);
    assert!(wrong.is_empty());
    assert_eq!(posts(&begin), [("healthcheck", "https://x/check/start?key=1".into())]);
    assert_eq!(begin.len(), 1);
    let (good, _) = messages(&notify, SPEAKER, Event::Ended(&report(false)));
    assert_eq!(posts(&good), [("healthcheck", "https://x/check?key=1".into())]);
    assert_eq!(good.len(), 1);
    let (always, _) = messages(&Notify { always: true, ..notify.clone() }, SPEAKER, Event::Ended(&report(false)));
    assert_eq!(always.len(), 3);
    for event in [Event::Ended(&report(true)), Event::Failed("no configuration")] {
        let (bad, _) = messages(&notify, SPEAKER, event);
        assert_eq!(bad.len(), 3);
        assert_eq!(posts(&bad)[0].1, "https://x/check/fail?key=1");
    }
    assert!(messages(&Notify::default(), SPEAKER, Event::Ended(&report(true))).0.is_empty());
}

#[test]
fn a_mail_says_first_what_went_wrong_and_keeps_to_its_headers() {
    let notify = everybody("https://x");
    let (out, _) = messages(&notify, Speaker { fleet: "Käse\nBcc: x", ..SPEAKER }, Event::Ended(&report(true)));
    let Some(Message::Mail { text, .. }) = out.last() else { panic!("{out:?}") };
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(head.starts_with("To: ann@example.org, root\nSubject: =?utf-8?Q?"), "{head}");
    assert!(!head.contains("\nBcc"), "{head}");
    let (shop, wiki) = (body.find("alpha/-/shop").unwrap(), body.find("alpha/-/wiki").unwrap());
    assert!(shop < wiki && body.starts_with("1 of 2 jobs went wrong") && !body.contains("check local"), "{body}");
    for bad in ["a b", "x\ny", "-t", "<x@y>", "a,b", ""] {
        let (out, wrong) = messages(&Notify { mail: vec![bad.into()], ..notify.clone() }, SPEAKER, Event::Failed("x"));
        assert_eq!((out.len(), wrong.len()), (2, 1), "{bad:?}");
    }
}

#[test]
fn an_address_is_never_shown() {
    let notify = everybody("https://user:pass@hooks.example.org/secret");
    let (out, _) = messages(&notify, SPEAKER, Event::Failed("x"));
    let shown = format!("{out:?}");
    assert!(shown.contains("hooks.example.org") && !shown.contains("secret") && !shown.contains("pass"), "{shown}");
    for bad in ["ftp://x", "x", "https://x y", "https://x\n", "https://x\"", "file:/no/such/file"] {
        let error = Address::read(bad, "webhook").unwrap_err().to_string();
        assert!(error.starts_with("notify.webhook: "), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hook");
    std::fs::write(&path, "https://x/secret\n").unwrap();
    let address = Address::read(&format!("file:{}", path.display()), "webhook").unwrap();
    assert_eq!(address.whole(), "https://x/secret");
}

/// Answers one request with this status; what was asked, and with which body.
fn listener(status: &'static str) -> (String, thread::JoinHandle<(String, String)>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let listening = thread::spawn(move || {
        let (stream, _) = socket.accept().unwrap();
        let mut from = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut len) = (String::new(), 0);
        loop {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; len];
        from.read_exact(&mut body).unwrap();
        write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        (head, String::from_utf8(body).unwrap())
    });
    (address, listening)
}

#[test]
fn a_webhook_gets_json_by_a_real_connection() {
    let (address, listening) = listener("200 OK");
    let notify = Notify { webhook: Some(format!("{address}/secret")), ..Notify::default() };
    let (out, _) = messages(&notify, SPEAKER, Event::Ended(&report(true)));
    send(&out[0]).unwrap();
    let (head, body) = listening.join().unwrap();
    assert!(head.starts_with("POST /secret HTTP/1.1") && head.contains("application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["good"], &body["wrong"], &body["host"]), (&false.into(), &1.into(), &"alpha".into()));
    assert_eq!(body["jobs"][1]["message"], "pg_dump: no \"server\"\\");
    assert_eq!(body["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_healthcheck_gets_the_text_and_a_refusal_is_told_without_the_address() {
    let (address, listening) = listener("200 OK");
    let notify = Notify { healthcheck: Some(format!("{address}/secret")), ..Notify::default() };
    let (out, _) = messages(&notify, SPEAKER, Event::Ended(&report(true)));
    send(&out[0]).unwrap();
    let (head, body) = listening.join().unwrap();
    assert!(head.starts_with("POST /secret/fail "), "{head}");
    assert!(body.contains("1 of 2 jobs went wrong") && body.contains("\n  failed"), "{body}");

    let (address, listening) = listener("404 Not Found");
    let notify = Notify { healthcheck: Some(format!("{address}/secret")), ..Notify::default() };
    let error = send(&messages(&notify, SPEAKER, Event::Begins).0[0]).unwrap_err().to_string();
    listening.join().unwrap();
    assert!(error.contains("404") && error.contains("127.0.0.1") && !error.contains("secret"), "{error}");
}

#[test]
fn mail_is_handed_to_the_command_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mail");
    let command = format!("cat > {}", file.display());
    let notify = Notify { mail: vec!["root".into()], mail_command: command, ..Notify::default() };
    let (out, _) = messages(&notify, SPEAKER, Event::Failed("it's \"late\""));
    send(&out[0]).unwrap();
    let Message::Mail { text, .. } = &out[0] else { panic!() };
    assert_eq!(&std::fs::read_to_string(file).unwrap(), text);
    let failing = |command: &str| Message::Mail { command: command.into(), text: "x".repeat(1 << 20) };
    let error = send(&failing("echo 'no \u{1b}[31mroute' >&2; exit 75")).unwrap_err().to_string();
    assert!(error.contains("route") && !error.contains('\u{1b}'), "{error}");
    assert!(send(&failing("no-such-sendmail -t")).unwrap_err().to_string().contains("not found"));
}
