<?php

declare(strict_types=1);

namespace Example\Tables;

/** The tables of a MySQL database that is reached over TLS only. */
final class Tables
{
    private \mysqli $connection;

    /**
     * Connects with the DB_* variables of the function. The server's certificate must be signed by DB_CA and name the
     * host: without a CA mysqli would encrypt, and talk to anybody.
     */
    public function __construct(array $environment)
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $this->connection = mysqli_init();
        $this->connection->options(MYSQLI_OPT_SSL_VERIFY_SERVER_CERT, 1);
        $this->connection->ssl_set(null, null, $environment['DB_CA'] ?? '/etc/pki/tls/certs/ca-bundle.crt', null, null);
        $this->connection->real_connect(
            $environment['DB_HOST'] ?? '127.0.0.1',
            $environment['DB_USER'] ?? 'app',
            $environment['DB_PASSWORD'] ?? '',
            $environment['DB_NAME'] ?? 'app',
            (int) ($environment['DB_PORT'] ?? 3306),
            null,
            MYSQLI_CLIENT_SSL,
        );
    }

    /** @return list<string> */
    public function names(): array
    {
        return array_column($this->connection->query('SHOW TABLES')->fetch_all(), 0);
    }

    /** The cipher of this connection; empty if it were not encrypted. */
    public function cipher(): string
    {
        return $this->connection->query("SHOW STATUS LIKE 'Ssl_cipher'")->fetch_row()[1];
    }
}
