//! Http mode with php-fpm.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::examples::examples;
use crate::lambda::{Call, Function, Lambda};

fn get(path: &str) -> Value {
    request("GET", path, json!({}), "")
}

fn request(method: &str, path: &str, headers: Value, body: &str) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {"http": {"method": method, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}, "domainName": "a.example"},
        "body": body, "isBase64Encoded": false
    })
}

fn site<'a>(files: &'a [(&'a str, &'a str)], handler: &'a str) -> Lambda {
    Lambda::start(&Function { files, handler, env: &[] })
}

fn body(call: &Call) -> String {
    assert!(call.path.ends_with("/response"), "{} {}", call.path, String::from_utf8_lossy(&call.body));
    call.json()["body"].as_str().unwrap().to_owned()
}

#[test]
fn a_page_is_served_with_the_variables_of_a_web_server() {
    let script = r#"<?php header('X-A: b'); echo json_encode(['server' => $_SERVER, 'get' => $_GET, 'trace' => getenv('_X_AMZN_TRACE_ID')]);"#;
    let mut lambda = site(&[("public/index.php", script)], "public/index.php");
    for path in ["/", "/a/b?x=1&y[]=2"] {
        let call = lambda.invoke(&get(path));
        assert_eq!(call.json()["statusCode"], 200);
        assert_eq!(call.json()["headers"]["X-A"], "b");
        let page: Value = serde_json::from_str(&body(&call)).unwrap();
        let server = &page["server"];
        for (name, value) in [
            ("REQUEST_URI", path),
            ("SCRIPT_NAME", "/index.php"),
            ("SCRIPT_FILENAME", "/var/task/public/index.php"),
            ("DOCUMENT_ROOT", "/var/task/public"),
            ("HTTPS", "on"),
            ("HTTP_HOST", "a.example"),
            ("REMOTE_ADDR", "192.0.2.1"),
            ("SERVER_SOFTWARE", "phplayer"),
        ] {
            assert_eq!(server[name], value, "{name}");
        }
        let context: Value = serde_json::from_str(server["LAMBDA_INVOCATION_CONTEXT"].as_str().unwrap()).unwrap();
        assert!(context["awsRequestId"].as_str().unwrap().starts_with("request-"));
        let context: Value = serde_json::from_str(server["LAMBDA_REQUEST_CONTEXT"].as_str().unwrap()).unwrap();
        assert_eq!(context["domainName"], "a.example");
        assert_eq!(page["trace"], "Root=1-2-3");
        if path.contains('?') {
            assert_eq!(page["get"], json!({"x": "1", "y": ["2"]}));
        }
    }
}

#[test]
fn forms_cookies_and_binary_bodies_go_through() {
    let script = r#"<?php
        if ($_SERVER['REQUEST_URI'] === '/image') { header('Content-Type: image/png'); exit("\x89PNG\x00"); }
        setcookie('a', '1'); setcookie('b', '2');
        http_response_code(201);
        echo $_POST['name'] ?? '', '|', strlen(file_get_contents('php://input')), '|', implode(',', $_COOKIE);"#;
    let mut lambda = site(&[("index.php", script)], "index.php");
    let form = json!({"content-type": "application/x-www-form-urlencoded"});
    let mut event = request("POST", "/", form.clone(), "name=J%C3%BCrgen&x=");
    event["cookies"] = json!(["p=q", "r=s"]);
    let call = lambda.invoke(&event);
    assert_eq!(body(&call), "Jürgen|19|q,s");
    assert_eq!(call.json()["statusCode"], 201);
    assert_eq!(call.json()["cookies"], json!(["a=1", "b=2"]));

    let call = lambda.invoke(&get("/image"));
    assert_eq!((body(&call).as_str(), &call.json()["isBase64Encoded"]), ("iVBORwA=", &json!(true)));

    // Larger than any socket buffer, in both directions.
    let long = format!("name={}", "z".repeat(3_000_000));
    assert_eq!(body(&lambda.invoke(&request("POST", "/", form, &long))), format!("{}|3000005|", &long[5..]));
}

#[test]
fn in_a_folder_the_path_names_the_script() {
    let files = [
        ("public/index.php", "<?php echo 'index ', $_SERVER['PATH_INFO'] ?? '';"),
        ("public/login.php", "<?php echo 'login ', $_SERVER['PATH_INFO'] ?? '';"),
        ("public/admin/index.php", "<?php echo 'admin';"),
        ("secret.php", "<?php echo 'secret';"),
    ];
    let mut lambda = site(&files, "public/");
    for (path, expected) in [
        ("/", "index "),
        ("/login.php", "login "),
        ("/login.php/x", "login /x"),
        ("/admin/", "admin"),
        ("/nothing", "index /nothing"),
        ("/../secret.php", "index /../secret.php"),
        ("/%2e%2e%2fsecret.php", "index /../secret.php"),
    ] {
        assert_eq!(body(&lambda.invoke(&get(path))), expected, "{path}");
    }
    // Relative, for a stage's name may stand before it and another host must not.
    for (path, place) in [("/admin?a=b", "./admin/?a=b"), ("//evil.example/..%2fadmin", "./..%2fadmin/")] {
        let answer = lambda.invoke(&get(path)).json();
        assert_eq!((&answer["statusCode"], &answer["headers"]["Location"]), (&json!(301), &json!(place)));
    }
}

#[test]
fn whatever_a_script_does_costs_its_own_request_only() {
    let script = r#"<?php
        switch ($_SERVER['REQUEST_URI']) {
            case '/loop': fwrite(fopen('php://stderr', 'w'), "looping\n"); while (true) {}
            case '/wait': exec('sleep 1000');
            case '/busy': ini_set('pcre.jit', '0'); ini_set('pcre.backtrack_limit', '2000000000'); preg_match('/^(a|aa|a)+$/', str_repeat('a', 60) . 'b'); exit;
            case '/sleepers': exit(implode(' ', preg_grep('/^sleep/', array_map(fn($f) => @file_get_contents($f), glob('/proc/[0-9]*/comm')))));
            case '/kill': posix_kill(getmypid(), 9);
            case '/segv': posix_kill(getmypid(), 11);
            case '/stop': posix_kill(getmypid(), 19);
            case '/master': posix_kill(posix_getppid(), 9); sleep(60);
            case '/master-stops': posix_kill(posix_getppid(), 19); posix_kill(getmypid(), 9);
            case '/memory': ini_set('memory_limit', '8M'); str_repeat('x', 9000000);
            case '/large': exit(str_repeat('x', 7000000));
            case '/larger': exit(str_repeat('x', 20000000));
            case '/exit': exit(3);
            case '/throw': throw new Exception('thrown');
        }
        echo 'fine';"#;
    // Long enough for PHP to stop by itself on a busy machine.
    let env = [("PHPLAYER_TIMEOUT_MARGIN_MS", "3000")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    for (path, status, message) in [
        ("/loop", 504, "timeout"),
        ("/wait", 504, "timeout"),
        ("/busy", 504, "The log says where it was"),
        ("/kill", 502, "died"),
        ("/segv", 502, "died"),
        ("/stop", 504, "timeout"),
        ("/master", 502, "php-fpm ended"),
        ("/master-stops", 502, "died"),
        ("/memory", 500, ""),
        ("/large", 500, "6291556"),
        ("/larger", 500, "6291556"),
        ("/exit", 200, ""),
        ("/throw", 500, ""),
    ] {
        // Only those that must run into it have a short timeout.
        let timeout = Duration::from_secs(if status == 504 { 4 } else { 60 });
        let call = lambda.invoke_bytes(get(path).to_string().as_bytes(), timeout);
        assert_eq!(call.json()["statusCode"], status, "{path} {}", lambda.log());
        assert!(body(&call).contains(message), "{path} {}", body(&call));
        let call = lambda.invoke(&get("/"));
        assert_eq!(body(&call), "fine", "after {path}: {}", lambda.log());
    }
    assert_eq!(body(&lambda.invoke(&get("/sleepers"))), "", "what a killed worker had started must not go on");
    let log = lambda.log();
    for said in [
        "looping",
        "Uncaught Exception: thrown",
        "Allowed memory size",
        "/var/task/index.php on line 3",
        "(terminated) in /var/task/index.php on line 5",
        "had no worker",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
}

#[test]
fn what_happens_to_php_between_requests_costs_no_request() {
    let script = r#"<?php
        $later = fn ($signal, $process) => exec("(sleep 0.1; kill -$signal $process) >/dev/null 2>&1 &");
        switch ($_SERVER['REQUEST_URI']) {
            case '/kill': $later(9, getmypid()); break;
            case '/segv': $later(11, getmypid()); break;
            case '/master': $later(9, posix_getppid()); break;
        }
        echo 'fine';"#;
    let mut lambda = site(&[("index.php", script)], "index.php");
    for path in ["/kill", "/segv", "/master"] {
        assert_eq!(body(&lambda.invoke(&get(path))), "fine");
        std::thread::sleep(Duration::from_secs(1));
        let call = lambda.invoke(&get("/"));
        assert_eq!(body(&call), "fine", "after {path}: {}", lambda.log());
    }
}

#[test]
fn the_users_settings_reach_the_application() {
    let script = "<?php echo $_SERVER['REMOTE_ADDR'], ' ', $_SERVER['REQUEST_URI'], ' ', getenv('PHPLAYER_MEMORY_LIMIT'), ' ', $_SERVER['LAMBDA_INVOCATION_CONTEXT'];";
    let event = json!({"version": "2.0", "rawPath": "/prod/page", "rawQueryString": "", "requestContext":
        {"http": {"method": "GET", "sourceIp": "192.0.2.7"}, "stage": "prod", "domainName": "x.execute-api.eu-west-1.amazonaws.com"}});
    let facts = |env: &[(&str, &str)]| {
        let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env });
        body(&lambda.invoke(&event))
    };
    let plain = facts(&[]);
    assert!(plain.starts_with("192.0.2.7 /prod/page  {"), "{plain}");
    for part in [r#""clientContext":"{\"custom\":{\"a\":1}}""#, r#""tenantId":"blue""#, "cognitoIdentityId"] {
        assert!(plain.contains(part), "no {part} in {plain}");
    }
    let chosen = facts(&[
        ("PHPLAYER_CLIENT_ADDRESS", "loopback"),
        ("PHPLAYER_STAGE", "strip"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
    ]);
    assert!(chosen.starts_with("127.0.0.1 /page 461M {"), "{chosen}");
}

/// Lambda may refuse an answer, or fail itself.
#[test]
fn a_refused_answer_is_logged_and_a_failing_lambda_ends_the_runtime() {
    let mut lambda = site(&[("index.php", "<?php echo 'fine';")], "index.php");
    lambda.hand_out(get("/").to_string().as_bytes(), Duration::from_secs(60));
    lambda.call().reply(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(body(&lambda.invoke(&get("/"))), "fine");
    assert!(lambda.log().contains("answered /response with 403"), "{}", lambda.log());
    lambda.hand_out(get("/").to_string().as_bytes(), Duration::from_secs(60));
    lambda.call().reply(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(lambda.end().code(), Some(1));
}

/// Its client has its 504 and may have asked again: what was sent once must not happen later.
#[test]
fn a_request_that_no_worker_took_in_time_is_never_run() {
    let script = r#"<?php
        switch ($_SERVER['REQUEST_URI']) {
            case '/stop': $process = getmypid(); exec("(sleep 0.1; kill -STOP $process) >/dev/null 2>&1 &"); break;
            case '/late': echo 'fine'; fastcgi_finish_request(); while (true);
            case '/add': file_put_contents('/tmp/added', 'x', FILE_APPEND); break;
            case '/added': exit((string)@file_get_contents('/tmp/added'));
        }
        echo 'fine';"#;
    let env = [("PHPLAYER_TIMEOUT_MARGIN_MS", "3000")];
    let mut lambda = Lambda::start(&Function { files: &[("index.php", script)], handler: "index.php", env: &env });
    for path in ["/stop", "/late"] {
        assert_eq!(body(&lambda.invoke(&get(path))), "fine");
        std::thread::sleep(Duration::from_millis(300));
        let call = lambda.invoke_bytes(get("/add").to_string().as_bytes(), Duration::from_secs(4));
        assert_eq!(call.json()["statusCode"], 504, "{path} {}", lambda.log());
        assert_eq!(body(&lambda.invoke(&get("/"))), "fine", "{path} {}", lambda.log());
        assert_eq!(body(&lambda.invoke(&get("/added"))), "", "{path} {}", lambda.log());
    }
}

#[test]
fn a_full_tmp_stops_nothing() {
    let script = r#"<?php
        switch ($_SERVER['REQUEST_URI']) {
            case '/fill': foreach (range(1, 100) as $n) { @file_put_contents("/tmp/$n", str_repeat('x', 1 << 20)); } break;
            case '/master': posix_kill(posix_getppid(), 9); sleep(60);
        }
        echo 'fine';"#;
    let mut lambda = site(&[("index.php", script)], "index.php");
    for path in ["/fill", "/", "/master", "/"] {
        let call = lambda.invoke(&get(path));
        assert!(path == "/master" || body(&call) == "fine", "{path}: {}", lambda.log());
    }
    let form = json!({"content-type": "application/x-www-form-urlencoded"});
    assert_eq!(body(&lambda.invoke(&request("POST", "/", form, "a=b"))), "fine");
}

#[test]
fn an_event_that_is_no_request_is_an_error_and_the_next_one_works() {
    let mut lambda = site(&[("index.php", "<?php echo 'fine';")], "index.php");
    for event in
        [&b"{"[..], b"null", b"[]", br#"{"Records":[]}"#, b"\"\xff\"", br#"{"requestContext":{"connectionId":"x"}}"#]
    {
        let call = lambda.invoke_bytes(event, Duration::from_secs(60));
        assert!(call.path.ends_with("/error"), "{}", call.path);
        assert_eq!(call.header("Lambda-Runtime-Function-Error-Type"), Some("Function.InvalidEvent"));
        assert_eq!(body(&lambda.invoke(&get("/"))), "fine");
    }
}

#[test]
fn a_missing_handler_is_an_init_error() {
    let (call, status) = site(&[("other.php", "")], "index.php").init_error();
    assert_eq!(call.json()["errorMessage"], "no handler `index.php`: looked for /var/task/index.php");
    assert_eq!(call.header("Lambda-Runtime-Function-Error-Type"), Some("Runtime.NoSuchHandler"));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_php_that_does_not_start_is_an_init_error() {
    let function = Function { files: &[("index.php", "")], handler: "index.php", env: &[] };
    let missing = Lambda::start_on(&function, |opt| fs::remove_file(opt.join("bin/php")).unwrap());
    let broken =
        Lambda::start_on(&function, |opt| fs::write(opt.join("etc/php-fpm.conf"), "[www]\nnonsense = 1\n").unwrap());
    for (lambda, message) in [
        (missing, "cannot start /opt/bin/php: No such file"),
        (broken, "cannot start php-fpm: it ended with exit status: 78"),
    ] {
        let (call, status) = lambda.init_error();
        assert_eq!(call.header("Lambda-Runtime-Function-Error-Type"), Some("Runtime.PhpFailedToStart"));
        assert!(call.json()["errorMessage"].as_str().unwrap().starts_with(message), "{}", call.json());
        assert_eq!(status.code(), Some(1));
    }
}

#[test]
fn without_a_runtime_api_the_bootstrap_ends() {
    assert_eq!(site(&[("index.php", "")], "index.php").hang_up().code(), Some(1));
}

/// Whatever Lambda may bring: each is answered or refused, and the runtime goes on.
#[test]
fn every_public_example_event_costs_its_own_invocation_only() {
    let mut site = site(&[("index.php", "<?php echo 'fine';")], "index.php");
    let script = "<?php function index($event) { return 'fine'; }";
    let mut function = Lambda::start(&Function { files: &[("index.php", script)], handler: "index", env: &[] });
    let mut answered = 0;
    for path in examples() {
        let event = fs::read(&path).unwrap();
        for event in [&event[..], &event[..event.len() / 2]] {
            let call = site.invoke_bytes(event, Duration::from_secs(60));
            match call.path.rsplit('/').next() {
                Some("response") => answered += 1,
                _ => assert_eq!(
                    call.header("Lambda-Runtime-Function-Error-Type"),
                    Some("Function.InvalidEvent"),
                    "{path:?}"
                ),
            }
        }
        assert_eq!(function.invoke_bytes(&event, Duration::from_secs(60)).body, b"fine", "{path:?}");
    }
    assert!(answered > 20, "{answered}");
    assert_eq!(body(&site.invoke(&get("/"))), "fine");
}
