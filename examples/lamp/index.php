<?php

// The function: handler `index`. `phplayer invoke --task examples/lamp --handler index`

declare(strict_types=1);

use Example\Tables\Tables;

require '/opt/vendor/autoload.php';

function index($data)
{
    $tables = new Tables($_ENV);

    return json_encode([
        'tables' => $tables->names(),
        'encrypted' => $tables->cipher() !== '',
        'asked' => $data,
    ]);
}
