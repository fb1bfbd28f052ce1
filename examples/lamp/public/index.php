<?php

// The site: handler `public/index.php`. `phplayer serve --task examples/lamp --handler public/index.php`

declare(strict_types=1);

use Example\Tables\Tables;

require '/opt/vendor/autoload.php';

$tables = (new Tables($_ENV))->names();
?>
<!doctype html>
<title>Tables</title>
<h1>PHP <?= PHP_VERSION ?> on <?= htmlspecialchars(PHP_SAPI) ?></h1>
<ul>
<?php foreach ($tables as $name): ?>
    <li><?= htmlspecialchars($name) ?></li>
<?php endforeach ?>
</ul>
