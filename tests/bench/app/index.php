<?php
// A site with one page of each kind, by path.
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/':
        echo 'hello';
        break;
    case '/form':
        echo strlen($_POST['field'] ?? '');
        break;
    case '/body':
        echo strlen(file_get_contents('php://input'));
        break;
    case '/redirect':
        header('Location: /', true, 302);
        break;
    case '/error':
        throw new RuntimeException('meant to fail');
    default:
        http_response_code(404);
        echo 'not here';
}
