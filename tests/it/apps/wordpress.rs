//! WordPress as docs/wordpress.md deploys it: Debian's package, the page's own wp-config.php, a front with static files.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::path::Path;

use fs_err as fs;
use serde_json::json;

use super::browser::Browser;
use super::front::Front;
use super::page;
use crate::lamp::parts::{Running, Task, part, serve};

pub const HANDLER: &str = "wordpress/";
pub const TITLE: &str = "Tea & Biscuits";
const PASSWORD: &str = "correct horse battery staple";

/// A picture of 64 by 48 pixels: bytes that no text survives as.
pub const PICTURE: &[u8] = include_bytes!("kettle.png");

/// A site that is served, with tables of its own in the one database.
pub struct WordPress {
    pub task: Task,
    pub front: Front,
    _server: Running,
}

impl WordPress {
    /// `tables`: what their names begin with. `authority` vouches for the database.
    pub fn serve(tables: &str, authority: &str) -> Self {
        let mut task = Task::copy(Path::new(&part("WORDPRESS")), authority);
        fs::write(task.path().join("wordpress/wp-config.php"), page::block("wordpress.md", "php")).unwrap();
        fs::create_dir_all(task.path().join("php/conf.d")).unwrap();
        fs::write(task.path().join("php/conf.d/site.ini"), page::block("wordpress.md", "ini")).unwrap();
        let front = Front::listen(&task.path().join("wordpress"));
        task.env = vec![
            ("DB_HOST", part("MYSQL")),
            ("DB_NAME", "wordpress".into()),
            ("DB_USER", "wordpress".into()),
            ("DB_PASSWORD", "secret".into()),
            ("DB_PREFIX", tables.into()),
            ("WP_HOME", front.home.clone()),
            ("WP_SECRET", "of the tests".into()),
        ];
        let (server, url) = serve(&task, HANDLER);
        front.pass_to(&url);
        Self { task, front, _server: server }
    }

    /// Fills in the installation's form as its owner would.
    pub fn install(&self) {
        let browser = Browser::new(&self.front.home);
        let welcome = browser.get("/");
        assert!(welcome.url.ends_with("/wp-admin/install.php"), "an empty database leads to {}", welcome.url);
        let form = welcome.form("setup").with("weblog_title", TITLE).with("user_name", "owner");
        let form = form.with("admin_password", PASSWORD).with("admin_password2", PASSWORD);
        browser
            .submit(&form.with("admin_email", "owner@shop.example").with("Submit", "Install"))
            .shows("<h1>Success!</h1>");
    }

    /// The owner, logged in.
    pub fn owner(&self) -> Browser {
        let browser = Browser::new(&self.front.home);
        let form = browser.get("/wp-login.php").form("loginform").with("log", "owner").with("pwd", PASSWORD);
        let dashboard = browser.submit(&form.with("wp-submit", "Log In"));
        dashboard.shows("Dashboard");
        assert!(dashboard.url.ends_with("/wp-admin/"), "{}", dashboard.url);
        browser
    }

    /// Publishes as the editor does, by the REST interface; gives the post's address.
    pub fn publish(&self, owner: &Browser, title: &str, content: &str) -> String {
        let nonce = owner.get("/wp-admin/admin-ajax.php?action=rest-nonce");
        assert_eq!(nonce.status, 200, "{}", nonce.text);
        let post = json!({ "title": title, "content": content, "status": "publish" });
        let created = owner.post_json("/wp-json/wp/v2/posts", &nonce.text, &post);
        assert_eq!(created.status, 201, "{}", created.text);
        created.json()["link"].as_str().unwrap().to_owned()
    }
}
