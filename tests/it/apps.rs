//! Applications that were not written for Lambda, on the layers of recipes/php-84.toml, used as by a browser.
//!
//! tests/run unpacks them and says in `PHPLAYER_TEST_*` where they are; the pages under docs/ say how to deploy them.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use serde_json::{Value, json};

mod browser;
mod chromium;
mod events;
mod form;
mod front;
mod page;
mod phpmyadmin;
mod wordpress;

use crate::lamp::parts::{Task, run, serve};
use crate::lamp::rie::Rie;
use browser::Browser;
use phpmyadmin::PhpMyAdmin;
use wordpress::{PICTURE, TITLE, WordPress};

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn wordpress_is_installed_and_takes_a_picture_and_a_post() {
    let site = WordPress::serve("journey_", "ca.pem");
    site.install();
    let owner = site.owner();

    let form = owner.get("/wp-admin/media-new.php?browser-uploader").form("file-form");
    let form = form.with_file("async-upload", "kettle.png", "image/png", PICTURE).with("html-upload", "Upload");
    let library = owner.submit(&form);
    assert!(library.url.ends_with("/wp-admin/upload.php"), "{}", library.url);
    owner.get("/wp-admin/upload.php?mode=list").shows("kettle.png");

    let link = site.publish(&owner, "The kettle", "<p>It whistles, <em>unmodified</em>.</p>");
    assert!(link.ends_with("/the-kettle/"), "{link}");

    let visitor = Browser::new(&site.front.home);
    let home = visitor.get("/");
    home.shows("The kettle");
    assert_eq!(home.title(), TITLE);
    visitor.get(&link).shows("<p>It whistles, <em>unmodified</em>.</p>");
    let media = visitor.get("/wp-json/wp/v2/media").json();
    let details = &media[0]["media_details"];
    // WordPress has read the file again: it has arrived byte for byte.
    let read = [&details["width"], &details["height"], &details["filesize"]].map(Value::as_u64);
    assert_eq!(read, [Some(64), Some(48), Some(PICTURE.len() as u64)], "{media}");
    let missing = visitor.get("/there/is/no/such/page/");
    assert_eq!(missing.status, 404);
    assert!(missing.text.contains("</html>"), "WordPress answers itself: {}", missing.text);
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn wordpress_refuses_a_database_that_another_authority_vouches_for() {
    let site = WordPress::serve("refused_", "other-ca.pem");
    let page = Browser::new(&site.front.home).get("/");
    assert_eq!(page.status, 500);
    assert!(page.text.contains("Error establishing a database connection"), "{}", page.text);
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn the_official_emulator_shows_the_same_wordpress() {
    let site = WordPress::serve("rie_", "ca.pem");
    site.install();
    let link = site.publish(&site.owner(), "The official pot", "<p>Brewed twice.</p>");
    let visitor = Browser::new(&site.front.home);
    let rie = Rie::start(&site.task, wordpress::HANDLER);
    for path in ["/", link.strip_prefix(&site.front.home).unwrap()] {
        let answer: Value = serde_json::from_str(&rie.invoke(&http_api(path).to_string())).unwrap();
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let body = answer["body"].as_str().unwrap();
        assert!(body.contains("The official pot"), "{path}: {body}");
        assert_eq!(body, visitor.get(path).text, "{path}");
    }
}

/// A visitor's request as API Gateway's HTTP API sends it (payload 2.0). The host is the API's, as behind CloudFront.
fn http_api(path: &str) -> Value {
    let domain = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com";
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "text/html",
            "content-length": "0",
            "host": domain,
            "user-agent": "Mozilla/5.0",
            "x-amzn-trace-id": "Root=1-68d3c1f0-0a1b2c3d4e5f60718293a4b5",
            "x-forwarded-for": "192.0.2.44",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": domain,
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": "GET",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.44",
                "userAgent": "Mozilla/5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "24/Sep/2025:10:11:12 +0000",
            "timeEpoch": 1_758_708_672_000_u64,
        },
        "isBase64Encoded": false,
    })
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn wordpress_does_its_scheduled_work_in_console_mode() {
    let site = WordPress::serve("cron_", "ca.pem");
    site.install();
    // WordPress looks at what a new post links to when its schedule says so, and tells in its feed what it has heard.
    fs_err::write(site.task.path().join("wordpress/whistle.mp3"), [0; 4321]).unwrap();
    let whistle = format!("{}/whistle.mp3", site.front.home);
    site.publish(&site.owner(), "A recording", &format!("<a href=\"{whistle}\">It whistles</a>"));
    let enclosure = format!("<enclosure url=\"{whistle}\" length=\"4321\" type=\"audio/mpeg\" />");
    let visitor = Browser::new(&site.front.home);
    assert!(!visitor.get("/feed/").text.contains("<enclosure"), "no visitor's request does scheduled work");

    let mut cron = site.task.phplayer("invoke", "wordpress/wp-cron.php");
    let ended = run(cron.args(["--mode", "console", r#"{"cli": ""}"#])).json();
    assert_eq!((&ended["exitCode"], &ended["output"]), (&json!(0), &json!("")), "{ended}");
    visitor.get("/feed/").shows(&enclosure);
}

/// The tables that tests/run has made, and a figure that only the server knows.
const TABLES: &str = "SELECT 6 * 7 AS answer, table_name AS made FROM information_schema.tables \
                      WHERE table_schema = 'shop' ORDER BY made";

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn phpmyadmin_logs_in_and_runs_a_query() {
    let site = PhpMyAdmin::serve();
    let stranger = Browser::new(&site.front.home);
    let refused = site.log_in(&stranger, "wrong");
    assert!(refused.text.contains("Access denied for user"), "{}", refused.text);

    let visitor = Browser::new(&site.front.home);
    site.log_in(&visitor, "secret").shows("SSL is used");
    assert_eq!(phpmyadmin::cells(&site.query(&visitor, TABLES).text), ["42", "customers", "42", "orders"]);
    let status = site.query(&visitor, "SHOW STATUS LIKE 'Ssl_version'");
    assert_eq!(phpmyadmin::cells(&status.text)[1], "TLSv1.3");
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn a_real_browser_shows_wordpress() {
    let site = WordPress::serve("looks_", "ca.pem");
    site.install();
    site.publish(&site.owner(), "The pot in a browser", "<p>With its style sheets, from the front.</p>");
    let dom = chromium::look(&site.front.home, "wordpress");
    assert_eq!(form::between(&dom, "<title>", "</title>").map(form::unescaped), Some(TITLE.to_owned()));
    assert!(dom.contains("The pot in a browser"), "{dom}");
}

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn a_real_browser_shows_phpmyadmins_result() {
    let site = PhpMyAdmin::serve();
    let visitor = Browser::new(&site.front.home);
    site.log_in(&visitor, "secret");
    let result = site.query(&visitor, TABLES);
    site.front.log_everybody_in(&visitor.cookies("/"));
    let dom = chromium::look(&phpmyadmin::backwards(&result, "made"), "phpmyadmin");
    assert!(form::between(&dom, "<title>", "</title>").unwrap().contains("phpMyAdmin"), "{dom}");
    assert_eq!(phpmyadmin::cells(&dom), ["42", "orders", "42", "customers"]);
}

/// `serve`'s own page: what was asked, how it ended, and what it logged.
#[test]
#[ignore = "needs the parts that tests/run starts"]
fn a_real_browser_shows_the_invocations() {
    let task =
        Task::of("index.php", "<?php error_log('said by the script'); http_response_code(418); echo 'no coffee';");
    let (_server, url) = serve(&task, "index.php");
    let refused = ureq::get(format!("{url}/pot?brew=1")).config().http_status_as_error(false).build().call().unwrap();
    assert_eq!(refused.status(), 418);
    let dom = chromium::look(&format!("{url}/__phplayer"), "phplayer");
    let rows = form::between(&dom, "<tbody id=\"rows\">", "</tbody>").unwrap_or_else(|| panic!("{dom}"));
    for part in ["GET", "/pot", "418"] {
        assert!(rows.contains(part), "no {part} in {rows}");
    }
    assert!(dom.contains("said by the script"), "{dom}");
}
