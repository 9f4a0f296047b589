/// A second issuer, to be put behind [`LEAST`].
pub(super) const GITHUB: &str = r#"
[[issuers]]
name = "github"
issuer = "https://token.example.com"
audiences = ["hallpass"]
kind = "workload"
"#;

/// What stands before and behind [`super::LEAST`], and every fault that it brings.
pub(super) const CASES: &[(&str, &str, &[&str])] = &[
    // What comes with later features is unknown.
    (
        "aws.signin_url = 'x'",
        "",
        &["aws.signin_url: expected an origin without a path: https://<host>, or http:// on loopback"],
    ),
    (
        "aws.signin_url = 'http://signin.aws.amazon.com'",
        "",
        &["aws.signin_url: expected an origin without a path: https://<host>, or http:// on loopback"],
    ),
    ("aws.sign_in = 'x'", "", &["aws.sign_in: unknown key; known here: region, signin_url"]),
    // [login]
    ("login = {}", "", &["login.client_id: required, but not there", "login.issuer: required, but not there"]),
    ("login = { issuer = 'corp', client_id = 'cli' }", "", &[]),
    (
        "login = { issuer = 'other', client_id = '', token = 'both', scopes = ['email'], redirect_port = 80 }",
        "",
        &[
            "login.client_id: expected the client's id, as the provider has it",
            "login.issuer: no issuer of that name is in [[issuers]]",
            "login.redirect_port: expected a port from 1024 to 65535",
            "login.scopes: expected scopes without spaces, \"openid\" among them",
            "login.token: expected \"id\" or \"access\"",
        ],
    ),
    (
        "login = { issuer = 'corp', client_id = 'cli', token = 'id' }",
        "",
        &[
            "login.client_id: an ID token has the client's id as its audience: add it to the issuer's audiences, or set login.token = \"access\"",
        ],
    ),
    (
        "login = { issuer = 'github', client_id = 'cli' }",
        GITHUB,
        &["login.issuer: expected an issuer with kind = \"people\": workloads do not sign in"],
    ),
    // [portal]
    ("portal = {}", "", &["portal.client_id: required, but not there", "portal.issuer: required, but not there"]),
    (
        "portal = { issuer = 'github', client_id = 'a b', session_idle = '1m', session_max = '10x', help = ' ' }",
        "",
        &[
            "portal.client_id: expected the client's id at the provider, in ASCII without spaces",
            "portal.help: expected a sentence of 1 to 512 characters, on one line",
            "portal.issuer: expected the name of one of [[issuers]] with kind = \"people\"",
            "portal.session_idle: expected a time from 5m to 24h, such as 30m or 10h",
            "portal.session_max: expected a time from 5m to 24h, such as 30m or 10h",
        ],
    ),
    (
        "portal = { issuer = 'ci', client_id = 'x', client_secret_file = '' }",
        "",
        &[
            "portal.client_secret_file: expected the path of a file",
            "portal.issuer: expected the name of one of [[issuers]] with kind = \"people\"",
        ],
    ),
    // [server]
    (
        "server.listen = 'localhost:8080'",
        "",
        &["server.listen: expected an IP address and a port, such as 127.0.0.1:8080"],
    ),
    (
        "server.listen = '0.0.0.0:8080'",
        "",
        &[
            "server.listen: plain HTTP on an address that others reach: set server.tls, or server.behind_proxy = true where TLS ends in a proxy in front, or listen on 127.0.0.1",
            "server.public_url: required where server.listen is not loopback, such as https://hallpass.example.com",
        ],
    ),
    (
        "server = { listen = '0.0.0.0:8080', behind_proxy = true }",
        "",
        &["server.public_url: required where server.listen is not loopback, such as https://hallpass.example.com"],
    ),
    ("server = { listen = '10.0.0.1:80', behind_proxy = true, public_url = 'https://h' }", "", &[]),
    (
        "server.listen = '[::]:8080'\nserver.public_url = 'https://h'",
        "",
        &[
            "server.listen: plain HTTP on an address that others reach: set server.tls, or server.behind_proxy = true where TLS ends in a proxy in front, or listen on 127.0.0.1",
        ],
    ),
    (
        "server.public_url = 'https://h/hallpass'",
        "",
        &["server.public_url: expected an origin without a path: https://<host>, or http:// on loopback"],
    ),
    (
        "server.public_url = 'http://h'",
        "",
        &["server.public_url: expected an origin without a path: https://<host>, or http:// on loopback"],
    ),
    ("server.trusted_proxies = '10.0.0.0/8'", "", &["server.trusted_proxies: expected a list"]),
    ("server.metrics_listen = '10.0.0.1:9090'", "", &[]),
    (
        "server.metrics_listen = 'localhost:9090'",
        "",
        &["server.metrics_listen: expected an IP address and a port, such as 127.0.0.1:9090"],
    ),
    (
        "server.metrics_listen = '127.0.0.1:8080'",
        "",
        &["server.metrics_listen: expected another address or port than server.listen"],
    ),
    (
        "server = { listen = '[::1]:1', metrics_listen = '[0:0:0:0:0:0:0:1]:1' }",
        "",
        &["server.metrics_listen: expected another address or port than server.listen"],
    ),
    ("server = 1", "", &["server: expected a table of keys"]),
    // [server.tls]
    (
        "server.tls = {}",
        "",
        &["server.tls.certificate: required, but not there", "server.tls.key: required, but not there"],
    ),
    (
        "server.tls = { certificate = '', key = '/not/there', x = 1 }",
        "",
        &[
            "server.tls.certificate: expected the path of a file",
            "server.tls.x: unknown key; known here: certificate, key",
        ],
    ),
    (
        "server.tls = { certificate = '/not/there', key = '/not/there' }",
        "",
        &["server.tls.certificate: /not/there cannot be read: No such file or directory (os error 2)"],
    ),
    (
        "server = { tls = 1, public_url = 'http://127.0.0.1:1' }",
        "",
        &["server.public_url: expected https://, which server.tls makes it", "server.tls: expected a table of keys"],
    ),
    // [database]
    (
        "database.url = 'hallpass.db'",
        "",
        &["database.url: expected sqlite:<file> or postgres://<user>@<host>/<database>"],
    ),
    (
        "database.migrate_url = 'postgres://h'",
        "",
        &["database.migrate_url: only with PostgreSQL in database.url: SQLite knows no owner of tables"],
    ),
    (
        "database = { url = 'sqlite:h', migrate_url = 'sqlite:h' }",
        "",
        &["database.migrate_url: only with PostgreSQL in database.url: SQLite knows no owner of tables"],
    ),
    (
        "database = { url = 'postgres://h', migrate_url = 'sqlite:h' }",
        "",
        &["database.migrate_url: expected postgres://…, the database of database.url under its owner"],
    ),
    ("database = { url = 'postgres://h', migrate_url = 'postgresql://h' }", "", &[]),
    // [access]
    (
        "access.admins = ['workload:github/x']",
        GITHUB,
        &["access.admins[0]: expected user:<name> or group:<name>: an admin is never a workload"],
    ),
    (
        "access.admins = ['group:github/x']",
        GITHUB,
        &["access.admins[0]: a workload issuer gives this group, and an admin is never a workload"],
    ),
    (
        "access.admins = ['local:root', 'x', 'user: x']",
        "",
        &[
            "access.admins[0]: expected user:<name> or group:<name>: local: is no caller",
            "access.admins[1]: expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>",
            "access.admins[2]: expected a name of 1 to 256 characters in Unicode NFC, without control or format characters and without spaces around it",
        ],
    ),
    (
        "access.auditors = ['local:root', 'workload:github/x']",
        GITHUB,
        &["access.auditors[0]: expected user:<name> or group:<name>: local: is no caller"],
    ),
    (
        "access.appliers = ['workload:git/x', 'workload:corp/x', 'workload:token/x', 'workload:github/x']",
        GITHUB,
        &[
            "access.appliers[0]: no workload issuer of that name is in [[issuers]]",
            "access.appliers[1]: no workload issuer of that name is in [[issuers]]",
            "access.appliers[2]: an API token has no power, whomever it belongs to",
        ],
    ),
    (
        "access.token_creators = ['group:devs', 'workload:github/x', 'group:github/x', 'local:root']",
        GITHUB,
        &[
            "access.token_creators[1]: expected user:<name> or group:<name>: a workload makes no API tokens",
            "access.token_creators[2]: a workload issuer gives this group, and a workload makes no API tokens",
            "access.token_creators[3]: expected user:<name> or group:<name>: local: is no caller",
        ],
    ),
    // [[issuers]]
    ("", "name = 'x'", &["line 9, column 1: duplicate key"]),
    (
        "",
        "jwks_url = 'http://x'\nprincipal_claim = ''\ngroups_claim = ''",
        &[
            "issuers[0].jwks_url: expected an https:// address, or http:// on loopback, without a user name or a fragment",
            "issuers[0].principal_claim: expected the name of a claim",
            "issuers[0].groups_claim: expected the name of a claim",
        ],
    ),
    (
        "",
        "algorithms = []\ntoken_types = ['']\nauthorized_parties = [' ']",
        &[
            "issuers[0].algorithms: expected at least one",
            "issuers[0].token_types[0]: expected a text that is not blank",
            "issuers[0].authorized_parties[0]: expected a text that is not blank",
        ],
    ),
    (
        "",
        "algorithms = ['HS256', 'none', 'RS1', 'rs256', 'PS512']",
        &[
            "issuers[0].algorithms[0]: expected an asymmetric algorithm: whoever can check an HMAC signature can also make one",
            "issuers[0].algorithms[1]: expected an algorithm that signs: anyone can make a token without a signature",
            "issuers[0].algorithms[2]: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
            "issuers[0].algorithms[3]: expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ],
    ),
    (
        "",
        "prefix = ' x'",
        &[
            "issuers[0].prefix: expected nothing, or a name of 1 to 256 characters in Unicode NFC, without control or format characters and without spaces around it",
        ],
    ),
    (
        "",
        "rules = [{ when = {}, group = 'x' }, { when = { a = 1.5, b = ['x'], 'c/d' = {}, e = 1, f = true } }]",
        &[
            "issuers[0].rules[0].when: expected at least one claim: without one every token would be in the group",
            "issuers[0].rules[1].group: required, but not there",
            "issuers[0].rules[1].when.\"c/d\": expected a string, a whole number, true or false",
            "issuers[0].rules[1].when.a: expected a string, a whole number, true or false",
            "issuers[0].rules[1].when.b: expected a string, a whole number, true or false",
        ],
    ),
    (
        "",
        "[[issuers]]",
        &[
            "issuers[1].audiences: required, but not there",
            "issuers[1].issuer: required, but not there",
            "issuers[1].kind: required, but not there",
            "issuers[1].name: required, but not there",
        ],
    ),
    (
        "",
        "[[issuers]]\nname = 'token'\nissuer = 'x'\naudiences = ['', 1]\nkind = 'people'",
        &[
            "issuers[1].name: expected an issuer name: lower-case letters, digits and hyphens, and not \"token\"",
            "issuers[1].issuer: expected the issuer's identifier: an https:// address without a query, or http:// on loopback",
            "issuers[1].audiences[0]: expected a text that is not blank",
            "issuers[1].audiences[1]: expected a string",
        ],
    ),
    (
        "",
        "[[issuers]]\nname = 'corp'\nissuer = 'https://login.example.com'\naudiences = ['h']\nkind = 'people'",
        &["issuers[1].name: issuers[0] has this name already", "issuers[1].issuer: issuers[0] is this issuer already"],
    ),
    (
        "",
        "prefix = 'x'\n[[issuers]]\nname = 'x'\nissuer = 'https://x'\naudiences = ['h']\nkind = 'workload'",
        &[
            "issuers[1].name: issuers[0] has a prefix that this one begins with, or that begins with this one: a name could be either's",
        ],
    ),
    (
        "",
        "prefix = ''\n[[issuers]]\nname = 'x'\nissuer = 'https://x'\naudiences = ['h']\nkind = 'people'\nprefix = ''",
        &["issuers[1].prefix: issuers[0] has no prefix already, and only one issuer may have none"],
    ),
    ("", "prefix = ''\n[[issuers]]\nname = 'x'\nissuer = 'https://x'\naudiences = ['h']\nkind = 'people'", &[]),
    (
        "",
        "[[issuers]]\nname = 'x'\nissuer = 'https://x'\naudiences = ['h']\nkind = 'workload'\nprefix = ''\ngroups_claim = 'g'\nprincipal_claim = 'p'\ntrust_unverified_email = true",
        &[
            "issuers[1].prefix: only where kind = \"people\"",
            "issuers[1].groups_claim: only where kind = \"people\"",
            "issuers[1].principal_claim: only where kind = \"people\"",
            "issuers[1].trust_unverified_email: only where kind = \"people\"",
        ],
    ),
    (
        "access.appliers = ['workload:github/x']",
        "[[issuers]]\nname = 'github'\nissuer = 'https://x'\naudiences = ['h']",
        &["issuers[1].kind: required, but not there"],
    ),
    (
        "",
        "prefix = 'xy'\n[[issuers]]\nname = 'x'\nissuer = 'https://x'\naudiences = ['h']\nkind = 'people'\nprefix = 'x'",
        &[
            "issuers[1].prefix: issuers[0] has a prefix that this one begins with, or that begins with this one: a name could be either's",
        ],
    ),
    (
        "",
        "prefix = ''\nrules = [{ when = { a = 1 }, group = 'github/x' }, { when = { a = 1 }, group = 'githubbers' }]\n[[issuers]]\nname = 'github'\nissuer = 'https://x'\naudiences = ['h']\nkind = 'workload'\nrules = [{ when = { a = 1 }, group = 'github/x' }]",
        &[
            "issuers[0].rules[0].group: expected a group that is a name with the issuer's prefix, and does not begin with another issuer's",
        ],
    ),
    // [audit]
    ("audit.signing_key_file = ''", "", &["audit.signing_key_file: expected the path of a file"]),
    ("audit.signing_key = ''", "", &["audit.signing_key: unknown key; known here: signing_key_file"]),
    // [limits]
    (
        "limits = { requests_per_second = 0, requests_burst = -1, sts_per_second = 1000001, x = 1 }",
        "",
        &[
            "limits.requests_burst: expected a whole number",
            "limits.requests_per_second: expected a whole number from 1 to 1000000",
            "limits.sts_per_second: expected a whole number from 1 to 1000000",
            "limits.x: unknown key; known here: requests_per_second, requests_burst, sts_per_second",
        ],
    ),
];
