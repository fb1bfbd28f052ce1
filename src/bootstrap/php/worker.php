<?php
// The PHP side of function mode: loads the handler once, then answers one event after the other.
// php worker.php DESCRIPTOR worker|process FILE [FUNCTION]; frames: a byte for the kind, the length in four bytes, the
// content.

namespace Phplayer;

/** What a handler gets to know about an invocation. */
final class Context implements \JsonSerializable
{
    public function __construct(private readonly array $facts)
    {
    }

    public function getAwsRequestId(): string
    {
        return $this->facts['awsRequestId'];
    }

    public function getRemainingTimeInMillis(): int
    {
        return $this->facts['deadlineMs'] - (int) (microtime(true) * 1000);
    }

    public function getInvokedFunctionArn(): string
    {
        return $this->facts['invokedFunctionArn'];
    }

    public function getTraceId(): string
    {
        return $this->facts['traceId'];
    }

    /** JSON of the caller, or null. */
    public function getClientContext(): ?string
    {
        return $this->facts['clientContext'] ?? null;
    }

    /** JSON with cognitoIdentityId and cognitoIdentityPoolId, or null. */
    public function getCognitoIdentity(): ?string
    {
        return $this->facts['cognitoIdentity'] ?? null;
    }

    public function getTenantId(): ?string
    {
        return $this->facts['tenantId'] ?? null;
    }

    public function jsonSerialize(): array
    {
        return $this->facts;
    }
}

/** The socket to the bootstrap. */
final class Bootstrap
{
    /** @var resource */
    private $socket;
    /** Room to report a fatal error that says that there is no room. */
    private ?string $reserve;
    /** What a fatal error ends: `F` the worker, `T` the process of one event only. */
    private string $fatal = 'F';
    private bool $interruptible = false;

    public function __construct(int $descriptor)
    {
        // Between two events there may be hours.
        ini_set('default_socket_timeout', '-1');
        $this->socket = fopen("php://fd/$descriptor", 'r+');
        stream_set_timeout($this->socket, -1);
        stream_set_write_buffer($this->socket, 0);
        ini_restore('default_socket_timeout');
        $this->reserve = str_repeat('x', 64 * 1024);
    }

    public function send(string $kind, string $content): void
    {
        $frame = $kind . pack('N', strlen($content)) . $content;
        for ($sent = 0; $sent < strlen($frame); $sent += $count) {
            $count = fwrite($this->socket, $sent === 0 ? $frame : substr($frame, $sent));
            if ($count === false || $count === 0) {
                exit(1);
            }
        }
    }

    public function sendError(string $kind, string $type, string $message, array $trace): void
    {
        $flags = JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;
        $report = ['errorType' => $type, 'errorMessage' => $message, 'stackTrace' => $trace];
        $this->send($kind, json_encode($report, $flags));
    }

    /** The content of the next frame, or null when the bootstrap is gone. */
    public function receive(): ?string
    {
        $head = $this->read(5);
        return $head === null ? null : $this->read(unpack('N', $head, 1)[1]);
    }

    /** This is the process of one event from now on. */
    public function beChild(): void
    {
        $this->fatal = 'T';
    }

    /** Turns the error that ends this process into a report, unless it ends for another reason. */
    public function reportFatal(): void
    {
        $this->reserve = null;
        $error = error_get_last();
        if ($error !== null && $error['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR)) {
            $this->sendError($this->fatal, 'FatalError', $error['message'], ["{$error['file']}:{$error['line']}"]);
        }
    }

    /** Lets signals be handled during the wait for an event: fread() alone goes on waiting after one. */
    public function beInterruptible(): void
    {
        $this->interruptible = true;
    }

    private function read(int $length): ?string
    {
        $bytes = '';
        while (strlen($bytes) < $length) {
            if ($this->interruptible) {
                [$readable, $none] = [[$this->socket], null];
                @stream_select($readable, $none, $none, null);
            }
            $more = fread($this->socket, $length - strlen($bytes));
            if ($more === false || ($more === '' && feof($this->socket))) {
                return null;
            }
            $bytes .= $more;
        }
        return $bytes;
    }
}

/** File and line, then the calls, innermost first; arguments stay out of reports. */
function trace(\Throwable $error): array
{
    $lines = ["{$error->getFile()}:{$error->getLine()}"];
    foreach ($error->getTrace() as $call) {
        if (($call['file'] ?? '') === __FILE__ || str_starts_with($call['function'], __NAMESPACE__ . '\\')) {
            continue;
        }
        $lines[] = ($call['file'] ?? '[internal]') . ':' . ($call['line'] ?? 0) . ' '
            . ($call['class'] ?? '') . ($call['type'] ?? '') . $call['function'] . '()';
    }
    $previous = $error->getPrevious();
    return $previous === null
        ? $lines
        : [...$lines, 'caused by ' . $previous::class . ': ' . $previous->getMessage(), ...trace($previous)];
}

/** Loads the file in a scope of its own. */
function load(): mixed
{
    return require func_get_arg(0);
}

/** What to call: what the file returns, else the function that the handler names. */
function handler(mixed $returned, string $file, ?string $function): callable
{
    if (is_object($returned) && is_callable([$returned, 'handle'])) {
        return [$returned, 'handle'];
    }
    if (is_callable($returned)) {
        return $returned;
    }
    if ($function !== null && is_callable($function)) {
        return $function;
    }
    throw new \LogicException($function === null
        ? "$file returns neither a callable nor an object with handle(\$event, \$context)"
        : "$file neither defines the function `$function` nor returns a callable");
}

/** Puts the invocation where libraries look for it. */
function export(array $variables): void
{
    foreach ($variables as $name => $value) {
        putenv("$name=$value");
        $_ENV[$name] = $_SERVER[$name] = $value;
    }
}

/** One event after the other in this process. */
function run(Bootstrap $bootstrap, callable $handler): void
{
    while (($context = $bootstrap->receive()) !== null && ($event = $bootstrap->receive()) !== null) {
        answer($bootstrap, $handler, $context, $event);
        // What the handler leaves behind must not live as long as the wait for the next event.
        unset($event);
    }
}

/** Each event in a process of its own, which begins as a copy of this one and leaves nothing behind. */
function runIsolated(Bootstrap $bootstrap, callable $handler): void
{
    while (($context = $bootstrap->receive()) !== null && ($event = $bootstrap->receive()) !== null) {
        $child = pcntl_fork();
        if ($child === 0) {
            $bootstrap->beChild();
            // Copies would draw the same numbers. random_int() asks the kernel, and OpenSSL notices by itself.
            mt_srand();
            answer($bootstrap, $handler, $context, $event);
            register_shutdown_function(leave(...));
            exit(0);
        }
        if ($child === -1) {
            $bootstrap->sendError('T', 'ForkFailed', pcntl_strerror(pcntl_get_last_error()), []);
            $bootstrap->send('D', 'no process');
            continue;
        }
        unset($event);
        while (pcntl_waitpid($child, $status) === -1 && pcntl_get_last_error() === PCNTL_EINTR);
        $bootstrap->send('D', pcntl_wifsignaled($status)
            ? 'signal ' . pcntl_wtermsig($status)
            : 'status ' . pcntl_wexitstatus($status));
    }
}

/**
 * The end of a process that has answered, after all other shutdown functions: objects are destructed and output is written,
 * but PHP does not take itself apart. That would touch all that the parent has loaded, page by page, for four milliseconds.
 */
function leave(): void
{
    foreach (array_keys($GLOBALS) as $name) {
        unset($GLOBALS[$name]);
    }
    while (ob_get_level() > 0 && ob_end_flush());
    flush();
    if (function_exists('posix_kill')) {
        posix_kill(getmypid(), SIGKILL);
    }
}

function answer(Bootstrap $bootstrap, callable $handler, string $context, string $event): void
{
    try {
        $facts = json_decode($context, true, flags: JSON_THROW_ON_ERROR);
        export(['LAMBDA_INVOCATION_CONTEXT' => $context, '_X_AMZN_TRACE_ID' => $facts['traceId']]);
        $data = json_decode($event, true, flags: JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
        $result = $handler($data, new Context($facts));
        $response = is_string($result) ? $result : json_encode(
            $result,
            JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION
        );
    } catch (\Throwable $error) {
        $bootstrap->sendError('T', $error::class, $error->getMessage(), trace($error));
        return;
    }
    $bootstrap->send('R', $response);
}

(function (array $arguments): void {
    $bootstrap = new Bootstrap((int) $arguments[1]);
    $isolated = $arguments[2] === 'process';
    $file = $arguments[3];
    // The handler sees itself as the script.
    $_SERVER['argv'] = $GLOBALS['argv'] = [$file];
    $_SERVER['argc'] = $GLOBALS['argc'] = 1;
    $_SERVER['SCRIPT_FILENAME'] = $_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $_SERVER['PATH_TRANSLATED'] = $file;
    $_ENV = getenv() + $_ENV;
    register_shutdown_function($bootstrap->reportFatal(...));
    if (getenv('PHPLAYER_SHUTDOWN') === '1' && function_exists('pcntl_async_signals')) {
        // So that destructors and shutdown functions run before the environment ends.
        pcntl_async_signals(true);
        pcntl_signal(SIGTERM, fn () => exit(0));
        $bootstrap->beInterruptible();
    }
    try {
        if ($isolated && !function_exists('pcntl_fork')) {
            throw new \LogicException('PHPLAYER_ISOLATE=process needs the extension pcntl: add it to the recipe');
        }
        $handler = handler(load($file), $file, $arguments[4] ?? null);
    } catch (\Throwable $error) {
        $bootstrap->sendError('F', $error::class, $error->getMessage(), trace($error));
        exit(1);
    }
    $bootstrap->send('I', '');
    $isolated ? runIsolated($bootstrap, $handler) : run($bootstrap, $handler);
})($argv);
