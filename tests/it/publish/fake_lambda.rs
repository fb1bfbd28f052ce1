//! The layers API of Lambda in a thread of the test: it keeps versions by region, and fails as it is told.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use phplayer::digest::Digest;
use phplayer::publish::Call;
use serde_json::{Value, json};

use crate::http_server;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Refused with this status and code; nothing is done.
    Refuse(u16, &'static str),
    /// Done, and the connection cut instead of an answer.
    DoneThenCut,
    /// Done, and never answered.
    DoneThenSilence,
    /// Answered with another digest than the stored one.
    WrongDigest,
    /// Answered with what is no JSON.
    Nonsense,
}

struct Rule {
    region: &'static str,
    call: Call,
    fault: Fault,
    times: usize,
}

#[derive(Clone)]
struct Version {
    sha256: String,
    size: usize,
    request: Value,
    statements: Vec<Value>,
}

#[derive(Default)]
struct State {
    layers: HashMap<(String, String), Vec<Version>>,
    rules: Vec<Rule>,
    calls: Vec<(String, Call)>,
}

/// A running fake; its thread ends with the test process.
pub struct FakeLambda {
    address: String,
    state: Arc<Mutex<State>>,
}

impl FakeLambda {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        Self { address: http_server::listen(move |stream| serve(stream, &shared)), state }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next `times` such calls in this region go wrong so.
    pub fn fail(&self, region: &'static str, call: Call, fault: Fault, times: usize) {
        self.state.lock().unwrap().rules.push(Rule { region, call, fault, times });
    }

    /// How often this call came from this region.
    pub fn count(&self, region: &str, call: Call) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|(from, made)| from == region && *made == call).count()
    }

    /// Every call that writes, in any region.
    pub fn writes(&self) -> usize {
        let writes = [Call::PublishLayerVersion, Call::AddLayerVersionPermission];
        self.state.lock().unwrap().calls.iter().filter(|(_, call)| writes.contains(call)).count()
    }

    pub fn versions(&self, region: &str, layer: &str) -> usize {
        let key = (region.to_owned(), layer.to_owned());
        self.state.lock().unwrap().layers.get(&key).map_or(0, Vec::len)
    }

    /// What the newest version was published with.
    pub fn request(&self, region: &str, layer: &str) -> Value {
        let key = (region.to_owned(), layer.to_owned());
        self.state.lock().unwrap().layers[&key].last().unwrap().request.clone()
    }

    /// The statements of the newest version's policy.
    pub fn statements(&self, region: &str, layer: &str) -> Vec<Value> {
        let key = (region.to_owned(), layer.to_owned());
        self.state.lock().unwrap().layers[&key].last().unwrap().statements.clone()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::new(stream);
    while let Some(request) = http_server::request(&mut requests) {
        let region = region(&request);
        let parts: Vec<&str> = request.target.trim_start_matches('/').split(['/', '?']).collect();
        let (call, layer, number) = match (request.method.as_str(), &parts[..]) {
            ("GET", ["2018-10-31", "layers", layer, "versions", number, "policy"]) => {
                (Call::GetLayerVersionPolicy, *layer, number.parse().unwrap())
            }
            ("POST", ["2018-10-31", "layers", layer, "versions", number, "policy"]) => {
                (Call::AddLayerVersionPermission, *layer, number.parse().unwrap())
            }
            ("POST", ["2018-10-31", "layers", layer, "versions"]) => (Call::PublishLayerVersion, *layer, 0),
            ("GET", ["2018-10-31", "layers", layer, "versions"]) => (Call::ListLayerVersions, *layer, 0),
            ("GET", ["2018-10-31", "layers", layer, "versions", number]) => {
                (Call::GetLayerVersion, *layer, number.parse().unwrap())
            }
            other => panic!("no call of the layers API: {other:?}"),
        };
        let mut state = state.lock().unwrap();
        state.calls.push((region.clone(), call));
        let fault = state.fault(&region, call);
        let (status, code, mut answer) = match fault {
            Some(Fault::Refuse(status, code)) => (status, code, json!({ "message": "as the test wants it" })),
            _ => state.answer(call, &region, layer, number, &request.body),
        };
        if let Some(Fault::WrongDigest) = fault {
            answer["Content"]["CodeSha256"] = json!(Digest::of(b"something else").base64());
        }
        drop(state);
        match fault {
            Some(Fault::DoneThenCut) => return,
            Some(Fault::DoneThenSilence) => {
                // Ends when the client has lost patience and closes.
                let _ = requests.read_to_end(&mut Vec::new());
                return;
            }
            _ => {}
        }
        let answer = if let Some(Fault::Nonsense) = fault { "<html>".to_owned() } else { answer.to_string() };
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nx-amzn-errortype: {code}\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if answers.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

/// The region that a request is signed for: `Credential=KEY/DATE/REGION/lambda/aws4_request`.
fn region(request: &http_server::Request) -> String {
    request.headers["authorization"].split('/').nth(2).unwrap().to_owned()
}

impl State {
    fn fault(&mut self, region: &str, call: Call) -> Option<Fault> {
        let rule = self.rules.iter_mut().find(|rule| rule.region == region && rule.call == call && rule.times > 0)?;
        rule.times -= 1;
        Some(rule.fault)
    }

    fn answer(
        &mut self,
        call: Call,
        region: &str,
        layer: &str,
        number: usize,
        body: &[u8],
    ) -> (u16, &'static str, Value) {
        let versions = self.layers.entry((region.to_owned(), layer.to_owned())).or_default();
        let arn = |number: usize| format!("arn:aws:lambda:{region}:123456789012:layer:{layer}:{number}");
        let shown = |number: usize, version: &Version| {
            json!({ "LayerVersionArn": arn(number), "Version": number,
                    "Content": { "CodeSha256": version.sha256, "CodeSize": version.size } })
        };
        let missing = (404, "ResourceNotFoundException", json!({ "message": "not there" }));
        match call {
            Call::ListLayerVersions if versions.is_empty() => missing,
            Call::ListLayerVersions => {
                let newest_first = (1..=versions.len()).rev();
                let listed: Vec<Value> =
                    newest_first.map(|number| json!({ "Version": number, "LayerVersionArn": arn(number) })).collect();
                (200, "", json!({ "LayerVersions": listed }))
            }
            Call::PublishLayerVersion => {
                let mut request: Value = serde_json::from_slice(body).unwrap();
                let zip = decode(request["Content"]["ZipFile"].as_str().unwrap());
                request["Content"].take();
                let sha256 = Digest::of(&zip).base64();
                versions.push(Version { sha256, size: zip.len(), request, statements: Vec::new() });
                (201, "", shown(versions.len(), &versions[versions.len() - 1]))
            }
            Call::GetLayerVersion => match versions.get(number - 1) {
                Some(version) => (200, "", shown(number, version)),
                None => missing,
            },
            Call::GetLayerVersionPolicy => match versions[number - 1].statements.as_slice() {
                [] => missing,
                statements => (200, "", json!({ "Policy": json!({ "Statement": statements }).to_string() })),
            },
            Call::AddLayerVersionPermission => {
                let asked: Value = serde_json::from_slice(body).unwrap();
                let statements = &mut versions[number - 1].statements;
                if statements.iter().any(|statement| statement["Sid"] == asked["StatementId"]) {
                    return (409, "ResourceConflictException", json!({ "message": "The statement id exists" }));
                }
                let principal = match asked["Principal"].as_str().unwrap() {
                    "*" => json!("*"),
                    account => json!({ "AWS": format!("arn:aws:iam::{account}:root") }),
                };
                let mut statement = json!({ "Sid": asked["StatementId"], "Effect": "Allow",
                                            "Action": asked["Action"], "Principal": principal });
                if let Some(organization) = asked["OrganizationId"].as_str() {
                    statement["Condition"] = json!({ "StringEquals": { "aws:PrincipalOrgID": organization } });
                }
                statements.push(statement);
                (201, "", json!({ "Statement": "{}", "RevisionId": "1" }))
            }
        }
    }
}

fn decode(base64: &str) -> Vec<u8> {
    let sextet = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other} is not base64"),
    };
    let digits: Vec<u8> = base64.trim_end_matches('=').bytes().map(sextet).collect();
    let group = |group: &[u8]| {
        let word = (0..4).fold(0u32, |word, at| word << 6 | u32::from(group.get(at).copied().unwrap_or(0)));
        word.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
