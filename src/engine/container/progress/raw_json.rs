//! BuildKit's `--progress=rawjson`: one indented object after another, each a `SolveStatus`.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Status {
    #[serde(default)]
    pub vertexes: Vec<Vertex>,
    #[serde(default)]
    pub logs: Vec<Log>,
}

#[derive(Debug, Deserialize)]
pub struct Vertex {
    pub digest: String,
    #[serde(default)]
    pub name: String,
    pub started: Option<serde_json::Value>,
    pub completed: Option<serde_json::Value>,
    #[serde(default)]
    pub cached: bool,
    #[serde(default)]
    pub error: String,
}

/// A piece of what a vertex prints. It may end in the middle of a line.
#[derive(Debug, Deserialize)]
pub struct Log {
    pub vertex: String,
    /// In base64.
    #[serde(default)]
    pub data: String,
}

/// What a line was.
pub enum Line {
    /// One of several of an object.
    Part,
    /// The last of an object.
    Whole(Status),
    /// None of an object: the client's own word.
    Other(String),
}

/// Puts the objects together from their lines.
#[derive(Default)]
pub struct Objects {
    open: String,
}

impl Objects {
    pub fn line(&mut self, line: &str) -> Line {
        if self.open.is_empty() && !line.starts_with('{') {
            return Line::Other(line.to_owned());
        }
        let one = self.open.is_empty() && line.len() > 1;
        self.open.push_str(line);
        if !one && !line.starts_with('}') {
            return Line::Part;
        }
        let text = std::mem::take(&mut self.open);
        serde_json::from_str(&text).map_or(Line::Other(text), Line::Whole)
    }
}
