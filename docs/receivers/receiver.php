<?php
// A receiver of Zoho CRM notifications: PHP 8, nothing else. Behind any web server, or: php -S 127.0.0.1:8080 receiver.php
//
// CHANNEL_TOKENS: the tokens that are accepted, with commas between them. QUEUE: a folder that takes the deliveries.

const BODY_MAX = 1 << 20;

// Compares with every token, so that the time it takes tells nothing.
function accepted(mixed $token): bool
{
    $known = explode(',', getenv('CHANNEL_TOKENS'));
    $equal = array_map(fn ($one) => is_string($token) && hash_equals($one, $token), $known);
    return in_array(true, $equal, true);
}

// The same delivery twice has the same key.
function key_of(array $delivery): string
{
    $said = ['channel_id', 'module', 'operation', 'server_time', 'ids'];
    return hash('sha256', json_encode(array_map(fn ($name) => $delivery[$name] ?? null, $said)));
}

// It was missed, and channelkeeper hands it over later: fetch the record on an update.
function recovered(array $delivery): bool
{
    return isset($delivery['query_params']['channelkeeper_recovered']);
}

function receive(string $body): int
{
    if (strlen($body) > BODY_MAX) {
        return 413;
    }
    $delivery = json_decode($body, true);
    if (json_last_error() !== JSON_ERROR_NONE) {
        return 400;
    }
    if (!is_array($delivery) || !accepted($delivery['token'] ?? null)) {
        return 401;
    }
    if ($delivery['channelkeeper_canary'] ?? false) {
        return 200; // a test of channelkeeper's own: nothing happened
    }
    unset($delivery['token']);
    // A file that exists already is a delivery that was taken before.
    $file = getenv('QUEUE') . '/' . key_of($delivery) . '.json';
    if (!is_file($file)) {
        $whole = file_put_contents("$file.new", json_encode($delivery)) !== false && rename("$file.new", $file);
        if (!$whole) {
            return 503;
        }
        $verb = recovered($delivery) ? 'take recovered' : 'take';
        error_log("$verb {$delivery['module']} {$delivery['operation']} " . implode(' ', $delivery['ids']));
    }
    return 200;
}

http_response_code(receive(file_get_contents('php://input', length: BODY_MAX + 1)));
