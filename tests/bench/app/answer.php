<?php
// A function that succeeds, or throws where its event says so.
return function (array $event): array {
    if ($event['throw'] ?? false) {
        throw new RuntimeException('meant to fail');
    }
    return ['answer' => $event['number'] ?? 42];
};
