//! phpMyAdmin as docs/phpmyadmin.md deploys it: Debian's packages, the page's own configuration.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::browser::{Browser, Page};
use super::form::{between, resolved, unescaped};
use super::front::Front;
use super::page;
use crate::lamp::parts::{Running, Task, part, run, serve};

pub struct PhpMyAdmin {
    pub front: Front,
    _task: Task,
    _server: Running,
}

impl PhpMyAdmin {
    pub fn serve() -> Self {
        let mut task = Task::copy(Path::new(&part("PHPMYADMIN")), "ca.pem");
        fs::write(task.path().join("phpmyadmin/config.inc.php"), page::block("phpmyadmin.md", "php")).unwrap();
        fs::create_dir_all(task.path().join("php/conf.d")).unwrap();
        fs::write(task.path().join("php/conf.d/site.ini"), page::block("phpmyadmin.md", "ini")).unwrap();
        let mut paths = Command::new("sh");
        paths.args(["-euc", &page::block("phpmyadmin.md", "sh")]).current_dir(task.path());
        run(&mut paths).answer();
        let front = Front::listen(&task.path().join("phpmyadmin"));
        let address = part("MYSQL");
        let (host, port) = address.split_once(':').unwrap();
        task.env = vec![
            ("DB_HOST", host.to_owned()),
            ("DB_PORT", port.to_owned()),
            ("PMA_HOME", format!("{}/", front.home)),
            ("PMA_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ];
        let (server, url) = serve(&task, "phpmyadmin/");
        front.pass_to(&url);
        Self { front, _task: task, _server: server }
    }

    /// Fills in the form of `app`, the owner of the database `shop`.
    pub fn log_in(&self, browser: &Browser, password: &str) -> Page {
        let form = browser.get("/").form("login_form").with("pma_username", "app").with("pma_password", password);
        browser.submit(&form)
    }

    /// Types a query into the page for it and shows what comes of it.
    pub fn query(&self, browser: &Browser, sql: &str) -> Page {
        let form = browser.get("/index.php?route=/server/sql").form("sqlqueryform");
        let result = browser.submit(&form.with("sql_query", sql).with("SQL", "Go"));
        assert_eq!(result.status, 200, "{}", result.text);
        result
    }
}

/// Where a click on a column's name leads to: the result the other way round. The link holds the query and is signed.
pub fn backwards(result: &Page, column: &str) -> String {
    let mut links = result.text.split("href=\"").skip(1).map(|link| unescaped(link.split('"').next().unwrap()));
    let order = format!("%60{column}%60+DESC&sql_signature=");
    let link = links.find(|link| link.contains(&order));
    resolved(&result.url, &link.unwrap_or_else(|| panic!("no link to sort by {column} in {}", result.text)))
}

/// A result's cells as text, row by row.
pub fn cells(result: &str) -> Vec<String> {
    let cells = result.split("<td ").skip(1).filter_map(|cell| {
        between(cell, ">", "</td>").filter(|_| {
            between(cell, "class=\"", "\"").is_some_and(|class| class.split(' ').any(|name| name == "data"))
        })
    });
    let all: Vec<String> = cells.map(text).collect();
    assert!(!all.is_empty(), "no result in {result}");
    all
}

/// Text without its tags.
fn text(html: &str) -> String {
    let plain: String = html
        .split('<')
        .enumerate()
        .map(|(at, part)| match at {
            0 => part,
            _ => part.split_once('>').map_or("", |(_, text)| text),
        })
        .collect();
    unescaped(plain.trim())
}
