"""Secrets and look-alikes for the redaction tests, put together at run time: no text here is a credential, or like one.

Every value is drawn from a seeded generator. `positives` yields (kind, text, secret), `negatives` (kind, value).
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import string
import uuid
from collections.abc import Iterator
from typing import Any

LOWER_HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
URL64 = ALNUM + "-_"
UPPER32 = string.ascii_uppercase + "234567"


class Maker:
    def __init__(self, seed: int = 7) -> None:
        self.random = random.Random(seed)

    def __call__(self, letters: str, count: int) -> str:
        return "".join(self.random.choice(letters) for _ in range(count))

    def hex(self, count: int) -> str:
        return self(LOWER_HEX, count)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def b64(self, value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def secrets_by_kind(m: Maker) -> dict[str, list[str]]:
    """Return a few secrets of each kind, as providers document their formats."""

    def some(*parts: Any) -> list[str]:
        return ["".join(p() if callable(p) else p for p in parts) for _ in range(3)]

    def r(letters: str, count: int) -> Any:
        return lambda: m(letters, count)

    def jwt() -> str:
        return ".".join((m.b64({"alg": "HS256", "typ": "JWT"}), m.b64({"sub": m(ALNUM, 8)}), m(URL64, 43)))

    def discord() -> str:
        number = str(m.random.randrange(10**17, 10**18))
        first = base64.b64encode(number.encode()).decode().rstrip("=")
        return f"{first}.{m(URL64, 6)}.{m(URL64, 27)}"

    dash = "-"
    return {
        "openai": some("sk", dash, "proj", dash, r(URL64, 74), "T3Bl", "bkFJ", r(URL64, 74))
        + some("sk", dash, r(ALNUM, 20), "T3Bl", "bkFJ", r(ALNUM, 20))
        + some("sk", dash, "svcacct", dash, r(URL64, 100)),
        "anthropic": some("sk", dash, "ant", dash, "api03", dash, r(URL64, 93), "AA")
        + some("sk", dash, "ant", dash, "admin01", dash, r(URL64, 93), "AA"),
        "openrouter": some("sk", dash, "or", dash, "v1", dash, r(LOWER_HEX, 64)),
        "deepseek": some("sk", dash, r(LOWER_HEX, 32)),
        "google": some("AI", "za", r(URL64, 35))
        + some("GOC", "SPX-", r(URL64, 28))
        + some("ya", "29.", r(URL64, 120)),
        "huggingface": some("h", "f_", r(string.ascii_letters, 34)),
        "groq": some("gs", "k_", r(ALNUM, 52)),
        "xai": some("xa", "i-", r(ALNUM, 80)),
        "perplexity": some("pp", "lx-", r(ALNUM, 48)),
        "replicate": some("r", "8_", r(ALNUM, 37)),
        "fireworks": some("f", "w_", r(ALNUM, 24)),
        "nvidia": some("nv", "api-", r(URL64, 64)),
        "langsmith": some("ls", "v2_pt_", r(LOWER_HEX, 32), "_", r(LOWER_HEX, 10)),
        "langfuse": some("sk", "-lf-", m.uuid),
        "pinecone": some("pc", "sk_", r(ALNUM, 6), "_", r(ALNUM, 60)),
        "voyage": some("p", "a-", r(URL64, 43)),
        "tavily": some("tv", "ly-", r(ALNUM, 32)),
        "databricks": some("da", "pi", r(LOWER_HEX, 32)),
        "aws": some("AK", "IA", r(UPPER32, 16)) + some("AS", "IA", r(UPPER32, 16)),
        "alibaba": some("LT", "AI", r(ALNUM, 20)),
        "digitalocean": some("do", "p_v1_", r(LOWER_HEX, 64)),
        "azure": some(r(ALNUM, 3), "8", "Q~", r(ALNUM + "_~.-", 34))
        + some(r(ALNUM, 52), "JQ", "QJ99", r(string.ascii_uppercase, 10), r(ALNUM, 16)),
        "heroku": some("HR", "KU-AA", r(URL64, 58)),
        "supabase": some("sb", "p_", r(LOWER_HEX, 40)),
        "planetscale": some("ps", "cale_tkn_", r(URL64, 43)),
        "vault": some("hv", "s.", r(URL64, 90)),
        "terraform": some(r(ALNUM, 14), ".atl", "asv1.", r(URL64, 67)),
        "pulumi": some("pu", "l-", r(LOWER_HEX, 40)),
        "grafana": some("gl", "sa_", r(ALNUM, 32), "_", r(LOWER_HEX, 8)),
        "newrelic": some("NR", "AK-", r(string.ascii_uppercase + string.digits, 27)),
        "sentry": some("sn", "tryu_", r(LOWER_HEX, 64)),
        "doppler": some("dp", ".pt.", r(ALNUM, 43)),
        "github": [f"gh{letter}_" + m(ALNUM, 36) for letter in "pousr"]
        + some("git", "hub_pat_", r(ALNUM + "_", 82)),
        "gitlab": some("gl", "pat-", r(URL64, 20)) + some("gl", "rt-", r(URL64, 20)),
        "atlassian": some("AT", "ATT3xFfGF0", r(URL64, 180)),
        "bitbucket": some("AT", "BB", r(ALNUM, 32)),
        "npm": some("np", "m_", r(ALNUM, 36)),
        "pypi": some("py", "pi-AgEIcHlwaS5vcmc", r(URL64, 80)),
        "rubygems": some("rub", "ygems_", r(LOWER_HEX, 48)),
        "docker": some("dc", "kr_pat_", r(URL64, 27)),
        "artifactory": some("AK", "Cp", r(ALNUM, 69)),
        "slack": some("xo", "xb-", r(string.digits, 12), "-", r(string.digits, 12), "-", r(ALNUM, 24))
        + some(
            "xa", "pp-1-", r(string.ascii_uppercase, 11), "-", r(string.digits, 13), "-", r(LOWER_HEX, 64)
        ),
        "slack-webhook": some(
            "https://hooks.", "slack.com/services/T", r(ALNUM, 8), "/B", r(ALNUM, 8), "/", r(ALNUM, 24)
        ),
        "discord": [discord() for _ in range(3)],
        "discord-webhook": some(
            "https://disc", "ord.com/api/webhooks/", r(string.digits, 18), "/", r(URL64, 68)
        ),
        "telegram": some(r("123456789", 10), ":A", "A", r(URL64, 33)),
        "sendgrid": some("S", "G.", r(URL64, 22), ".", r(URL64, 43)),
        "mailgun": some("ke", "y-", r(LOWER_HEX, 32)),
        "mailchimp": some(r(LOWER_HEX, 32), "-u", "s14"),
        "brevo": some("xke", "ysib-", r(LOWER_HEX, 64), "-", r(ALNUM, 16)),
        "twilio": some("S", "K", r(LOWER_HEX, 32)),
        "linear": some("lin", "_api_", r(ALNUM, 40)),
        "notion": some("nt", "n_", r(string.digits, 11), r(ALNUM, 35)),
        "airtable": some("pa", "t", r(ALNUM, 14), ".", r(LOWER_HEX, 64)),
        "hubspot": some("pa", "t-na1-", m.uuid),
        "postman": some("PM", "AK-", r(LOWER_HEX, 24), "-", r(LOWER_HEX, 34)),
        "stripe": some("sk", "_live_", r(ALNUM, 24))
        + some("rk", "_test_", r(ALNUM, 24))
        + some("wh", "sec_", r(ALNUM, 32)),
        "square": some("EA", "AA", r(URL64, 60)) + some("sq", "0atp-", r(URL64, 22)),
        "paypal": some("access_", "token$production$", r(string.ascii_lowercase, 16), "$", r(LOWER_HEX, 32)),
        "plaid": some("acc", "ess-sandbox-", m.uuid),
        "razorpay": some("rz", "p_live_", r(ALNUM, 14)),
        "shopify": some("sh", "pat_", r(LOWER_HEX, 32)),
        "age": some("AGE-SEC", "RET-KEY-1", r(string.ascii_uppercase, 58)),
        "jwt": [jwt() for _ in range(4)],
    }


CONTEXTS = (
    "{}",
    "my key is {}, please rotate it",
    'curl -H "X-Thing: {}" https://api.example.com/v1',
    '{{"note": "{}"}}',
    "first line\n{}\nlast line",
    "escaped\\n{}\\nmore",
    "https://api.example.com/?q={}&page=2",
    "ValueError: bad credential '{}' in settings.py:12",
)


def surroundings(m: Maker) -> Iterator[tuple[str, str, str]]:
    """Yield secrets that only their surroundings tell."""
    for _ in range(3):
        word, long = m(ALNUM, 9) + "7", m(ALNUM, 24) + "4x"
        yield "url-password", f"postgres://app:{word}@db.example.com:5432/shop", word
        yield "url-password", f"could not connect to redis://:{word}@cache:6379/0", word
        yield "url-password", f"amqp://user:{word}%21@mq/vhost failed", word
        yield "bearer", f"Authorization: Bearer {long}", long
        yield "bearer", f"sent 'authorization': 'bearer {long}' to host", long
        yield "bearer", f"with bearer {long} it worked", long
        basic = base64.b64encode(f"user:{word}".encode()).decode()
        yield "basic", f"Authorization: Basic {basic}", basic
        yield "basic", f"-H 'Proxy-Authorization: basic {basic}'", basic
        yield "assignment", f"OPENAI_API_KEY={long}", long
        yield "assignment", f"export DB_PASSWORD='{word}'", word
        yield "assignment", f"password: {word}", word
        yield "assignment", f"{{'api_key': '{word}', 'n': 1}}", word
        yield "assignment", json.dumps({"tool": json.dumps({"client_secret": word})}), word
        yield "assignment", f"https://example.com/cb?access_token={long}&state=1", long
        yield "assignment", f'{{"password":"{word}"', word
        yield "assignment", f"x-api-key: {long}", long
        yield "assignment", f'AWS_SECRET_ACCESS_KEY = "{m(ALNUM + "/+", 39) + "1"}"', ""
        yield (
            "assignment",
            f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={long}==;EndpointSuffix=x",
            long,
        )
        yield "assignment", f"deploy --password {word} --force", word
        yield "assignment", f"<settings><password>{word}</password></settings>", word
        yield "assignment", f"Headers([('authorization', 'Bearer {word}'), ('accept', '*/*')])", word
        yield "assignment", f"[(b'x-api-key', b'{word}')]", word
        yield "assignment", f"client_secret%3D{word}%26x", word
        yield "assignment", json.dumps({"headers": {"authorization": [f"Bearer {word}"]}}), word
        yield "assignment", f"https://example.com/?a=1&password={m(string.ascii_letters, 8)}", ""
        yield "assignment", f"X-Api-Key: {m(string.ascii_lowercase, 32)}", ""
        yield "assignment", f"SMTP_PASS={word}", word
        yield "cookie", f"Cookie: sid={word}; theme=dark\nAccept: */*", word
        yield "cookie", f"set-cookie: session={long}; Path=/; HttpOnly", long
        yield "url-signature", f"https://a.blob.core.windows.net/c/f?sv=2022&sig={long}%3D&se=2026", long
        yield "url-signature", f"https://b.s3.amazonaws.com/k?X-Amz-Signature={m.hex(64)}", ""
        for label in ("RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED "):
            body = "\n".join(m(ALNUM + "+/", 64) for _ in range(4))
            begin, end = f"-----BEGIN {label}PRIVATE KEY-----", f"-----END {label}PRIVATE KEY-----"
            yield "private-key", f"{begin}\n{body}\n{end}\n", body[:40]
            yield "private-key", json.dumps({"private": f"{begin}\n{body}\n{end}"}), body[:40]
        yield "private-key", f"cut off: -----BEGIN RSA PRIVATE KEY-----\n{body}", body[:40]


WORDS = (
    "swordfish", "hunterhunter", "tinkerbell", "Mississippi", "sunflower", "correcthorse", "chocolate", "pineapple", "trustnoone",
    "butterfly",
)  # fmt: skip
COMMANDS = (
    "curl -u admin:{} https://example.com", "curl -s -X POST -u 'admin:{}' https://example.com/x", "curl --user admin:{} -d @f https://x",
    "curl https://example.com/a \\\n  -H 'Accept: */*' \\\n  -u admin:{}", 'subprocess.run(["curl", "-u", "admin:{}", url])',
    "curl -uadmin:{} https://example.com", "curl --proxy-user 'p:{}' https://example.com", "wget --user=a --password={} https://example.com",
    "mysql -u root -p{} shop", "mysqldump -h db -uroot -p{} shop > dump.sql", "mysql --user=root --password {} shop",
    "mariadb -p{} -e 'select 1'", "sshpass -p {} ssh root@host", "sshpass -p '{}' scp a b:", "PGPASSWORD={} psql -h db shop",
    "export PGPASSWORD='{}'", "MYSQL_PWD={} mysql", "DB_PASSWORD={}", "docker login -u bob -p {} registry.example.com",
    "mongosh db -u bob -p {}", "redis-cli -h cache -a {} ping", "ldapsearch -x -D cn=admin -w {} -b dc=x",
    "machine example.com login bob password {}", "machine example.com\n  login bob\n  password {}\n", "default login anonymous password {}",
    "RUN: sshpass -p{} ssh host", "podman login --username bob --password {} quay.io", "az login -u bob@example.com -p {}",
)  # fmt: skip
SENTENCES = (
    "my password is {}", "My password is {}.", "Hi! My password is {}, please reset it", "his password was {}", "our wifi password is {}",
    "the root password is {}", "the admin password is {}, do not share it", "the password is: {}", "The password is '{}'.",
    'the passphrase is "{}"', "user: bob\npwd: {}", "password: {}", "host: db\nuser: bob\npassword: {}\nport: 1", "login: bob, password: {}",
    "my bank password is {} and my pin is 1", "their VPN password is {}", "my passcode is {}!", "the database password is {}",
    "My passphrase was {}; I changed it", "the guest password is {}",
)  # fmt: skip


def told(m: Maker) -> Iterator[tuple[str, str, str]]:
    """Yield passwords, words among them, that a command or a sentence tells."""
    for number, command in enumerate(COMMANDS):
        for word in (WORDS[number % len(WORDS)], m(ALNUM, 11) + "7"):
            yield "command", command.replace("{}", word), word
    for number, sentence in enumerate(SENTENCES):
        word = WORDS[number % len(WORDS)].lower()
        yield "sentence", sentence.replace("{}", word), word
    for word in ("hunter22", "Tr0ub4dor", "s3cr3tw0rd", "pa55-phrase!", "12345678"):
        yield "sentence", f"the password is {word} for now", word


UNTOLD = {
    "command": (
        "curl -u username:password https://example.com", "curl -u $USER:$PASS https://example.com", "curl -u ${USER}:${PASS} https://x",
        "curl -u <user>:<password> https://x", "curl -u user https://example.com", "curl --user-agent test:agent https://x",
        "docker run -u 1000:1000 -p 8080:80 nginx", "docker run -p 127.0.0.1:5432:5432 postgres", "docker compose -p project up",
        "date -u +%H:%M", "journalctl -u app:web", "psql -p 5432 -U postgres", "mysql -u root -p shop", "mysql -p", "mysql -P3306 -h db",
        "mysql --password", "ssh -p 2222 user@host", "mkdir -p a/b/c", "sshpass -p $PASS ssh host", 'sshpass -p "$PASS" ssh host',
        "PGPASSWORD=$PGPASSWORD psql", "export DB_PASSWORD=${DB_PASSWORD}", "DB_PASSWORD=<password>", "DB_PASSWORD=", "DB_PASSWORD=changeme",
        "login with password authentication", "login and password fields", "machine learning login page password form",
        "docker login registry.example.com", "docker login --password-stdin", "redis-cli -h cache -p 6379", "ps -a | grep curl",
        "ls -a; curl https://example.com/a:b", "grep -a needle:hay file", "the curl of hair -u turns", "MAX_PASSWORD_LENGTH=twelve",
        "python -u main.py:app", "uvicorn -u main:app", "tar -p -x", "cp -a src:dst", "npm login --scope=@org",
    ),
    "sentence": (
        "my password is wrong", "my password is not working", "My password was changed yesterday.", "the password is required",
        "The password is case-sensitive.", "your password is too short", "the password is stored as a hash", "his password is stolen, reset it",
        "my password is invalid", "the password is at least 12 characters long", "password: required", "password: string",
        "password: the user's password", "password: Password of the account.", "password: optional", "password: SecretStr",
        "password: {type: string}", "user: str, password: str", "    password: new password of the user", "password is hashed with bcrypt",
        "the password is base64-encoded", "the password is sha256-hashed", "password: hidden", "password: invalid",
        "our password is expired", "my password is the same as before", "What is my password?", "the root password is unknown",
        "the admin password is missing", "the password is 12 characters", "password: string\nuser: string", "their password is never shown",
        "passphrase: optional text", "pwd: /home/me", "the password is being changed", "Password was accepted",
    ),
}  # fmt: skip


def positives() -> Iterator[tuple[str, str, str]]:
    m = Maker()
    for kind, values in secrets_by_kind(m).items():
        for number, value in enumerate(values):
            for step in range(3):
                template = CONTEXTS[(number * 3 + step) % len(CONTEXTS)]
                yield kind, template.format(value), value
    for kind, text, secret in (*surroundings(m), *told(m)):
        yield kind, text, secret or re.split("[= ]", text)[-1].strip('"')


NAMES = (
    "authorization", "Authorization", "proxy-authorization", "api_key", "apiKey", "API-KEY", "x-api-key", "X-Api-Key",
    "openai_api_key", "anthropicApiKey", "password", "Password", "PASSWORD", "user_password", "userPassword", "passwd",
    "pwd", "passphrase", "secret", "client_secret", "clientSecret", "CLIENT-SECRET", "secret_key", "aws_secret_access_key",
    "cookie", "Cookie", "set-cookie", "Set-Cookie", "session", "session_key", "private_key", "privateKey", "PRIVATE KEY",
    "access_token", "accessToken", "Access-Token", "refresh_token", "id_token", "auth_token", "csrf_token", "bot_token",
    "token", "x-auth-token", "jwt", "bearer", "credentials", "signing_key", "encryption_key", "access_key", "account_key",
    "connection.password", "db password", "oauth2Token", "webhook_secret", "otp", "cvv", "recovery_codes", "auth",
)  # fmt: skip


def named() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield values that only their key's name tells."""
    m = Maker(11)
    for name in NAMES:
        secret = m(ALNUM, 12) + "5Z"
        yield name, {"a": 1, name: secret}, secret
        yield name, {"deep": [{"er": {name: secret, "n": 2}}]}, secret


def negatives() -> Iterator[tuple[str, Any]]:
    m = Maker(13)
    for _ in range(12):
        yield "uuid", m.uuid()
        yield "hash", hashlib.sha256(m(ALNUM, 9).encode()).hexdigest()
        yield "hash", f"sha256:{m.hex(64)}"
        yield "hash", f"commit {m.hex(40)}"
        yield "hash", f'etag "{m.hex(32)}"'
        yield "sri", f'integrity="sha384-{base64.b64encode(m.random.randbytes(48)).decode()}"'
        yield "image", base64.b64encode(m.random.randbytes(600)).decode()
        yield "image", f"data:image/png;base64,{base64.b64encode(m.random.randbytes(300)).decode()}"
        yield "id", f"chatcmpl-{m(ALNUM, 29)}"
        yield "id", f"msg_01{m(ALNUM, 22)}"
        yield "id", f"toolu_01{m(ALNUM, 22)}"
        yield "id", f"call_{m(ALNUM, 24)}"
        yield "id", f"req_{m.hex(32)}"
        yield "id", f"resp_{m.hex(50)}"
        yield "id", f"rs_{m.hex(48)}"
        yield "id", f"fc_{m.hex(48)}"
        yield "id", f"file-{m(ALNUM, 24)}"
        yield "id", f"org-{m(ALNUM, 24)}"
        yield "id", f"gen-{m(string.digits, 10)}-{m(ALNUM, 20)}"
        yield "publishable", "pk" + "_live_" + m(ALNUM, 24)
        yield "publishable", f"pk-lf-{m.uuid()}"
        yield "publishable", f"AC{m.hex(32)}"
        yield "publishable", f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{m(ALNUM, 43)} user@host"
        yield "number", f"+{m(string.digits, 12)}"
    for kind, texts in UNTOLD.items():
        for text in texts:
            yield kind, text
    for text in LOOK_ALIKES:
        yield "text", text
    for value in VALUES:
        yield "value", value


LOOK_ALIKES = (
    "The password reset flow sends an e-mail.", "Your token limit is 4096 tokens.", "max_tokens=100, top_p=0.9",
    "total_tokens: 150, prompt_tokens: 100", "token_type=bearer", '"token_type": "bearer"', "tokens_per_second: 48.2",
    "def login(user: str, password: str) -> Token:", "password = getpass.getpass()", "api_key = os.environ['API_KEY']",
    'api_key=os.getenv("OPENAI_API_KEY")', "client = OpenAI(api_key=settings.api_key)", "connect(user=user, password=password)",
    "token: str | None = None", "secret: Secret = field(default_factory=make)", "session = requests.Session()",
    "session: AsyncSession", "with Session(engine) as session:", "cookie policy: see the footer", "cookies are on",
    "auth: required", "authorization: required for all", "A bearer of bad news came.", "bearer responsibilities include care",
    "basic understanding of physics", "Basic authentication is old", "Bearer authentication_scheme", "the secret of success",
    "secret santa at noon", "open-secret: everybody knows", "private key cryptography", "-----BEGIN PUBLIC KEY-----\nMIIB",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIE\n-----END CERTIFICATE-----", "look for BEGIN RSA PRIVATE KEY in files",
    "-----BEGIN RSA PRIVATE KEY----- marks the start", "https://example.com/users/@me", "http://localhost:8080/@scope/pkg",
    "https://github.com/a/b/tree/main", "git@github.com:org/repo.git", "ssh://git@host/repo", "mailto:a@example.com",
    "http://[::1]:8080/path", "postgres://user@localhost/db", "redis://cache:6379/0", "postgres://app:${DB_PASSWORD}@db/x",
    "postgres://app:<password>@db/x", "https://user:{token}@host", "export TOKEN=$OTHER", "PASSWORD=${PASSWORD}",
    'password="${{ secrets.DB }}"', "api_key: <your key>", 'api_key = "YOUR_API_KEY"', 'api_key="your-api-key-here"',
    'api_key="..."', "password: ********", "token=xxxx", '"password": "string"', "password: string", "sk-learn is a library",
    'class="sk-toggleable__label-arrow"', "sk-estimator-doc-link", "sk-folding-cube", "/news/sk-telecom-5g-launch-2024-world",
    "task-force-141-briefing", "risk-adjusted-return-2024", "disk-usage-report-20240101", "ask-me-anything-about-python-3",
    "hf_transfer", "npm_config_registry", "gh_actions_workflow_name", "glpat", "xoxo, see you", "AKIA is a prefix",
    "eyJ is how base64 JSON begins", "eyJhbGciOi is only a head", "v1.0-beta", "sl.py", "dp.table", "SG. and co", "pat-a-cake",
    "key-value store", "key-derivation-function", "re_match(pattern)", "fc-list", "sq0", "SK Hynix", "ops_total",
    "arn:aws:iam::123456789012:role/Admin", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db",
    "projects/p/secrets/db-password/versions/3", "kubectl get secret db-password -n prod", "vault kv get secret/app",
    "gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022", "gemini-1.5-pro-002", "text-embedding-3-large", "o1-preview",
    "meta-llama/Llama-3.3-70B-Instruct", "2026-01-15T10:30:00.123456Z", "192.168.1.10:8080", "SELECT token FROM sessions",
    "ALTER TABLE users ADD COLUMN password_hash text", "WHERE password IS NULL", "if password == confirm:",
    "assert token != other", "token != null && token.length", "for token in tokens: print(token)", "tokenizer.encode(text)",
    '<input type="password" name="pw">', "Please enter your password:", "Forgot password?", "wrong password, try again",
    "the api key is missing", "no API key provided", "invalid x-api-key", "Incorrect API key provided", "secretary: Ann",
    "Set-Cookie is a header", "cookie consent banner", "session expired after 30 minutes", "session_id=c-17", "session-id: 42",
    "The quick brown fox jumps over the lazy dog. " * 20, "lorem ipsum dolor sit amet, consectetur " * 30,
    "a" * 3000, "0123456789" * 100, "x" * 64, "....................", "=====================", "-----------------",
    "def f(x):\n    return x + 1\n" * 20, "SELECT * FROM t WHERE id = 5;", '{"a": [1, 2, 3]}', "[1, 2]", "{not json",
    "Order 4111-2222 shipped", "call 555-0100", "name@example", "DE12 is a postcode", "1.2.3", "10.0.0.0/8",
    "content-type: application/json", "x-request-id: 7f3c", "user-agent: python/3.12", "accept: */*",
)  # fmt: skip


VALUES: tuple[Any, ...] = (
    {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    {"max_tokens": 1024, "token_type": "bearer", "tokens_per_second": 41.5},
    {"max_completion_tokens": 5, "cached_tokens": 3, "reasoning_tokens": 2, "audio_tokens": 0},
    {"time_to_first_token_ms": 120.5, "token_count": 7, "token_limit": 100, "num_tokens": 4},
    {"inputTokens": 3, "outputTokens": 4, "totalTokenCount": 7, "thoughtsTokenCount": 1},
    {"token": "Hello", "logprob": -0.1, "bytes": [72]}, {"token": " authentication", "logprob": -2.5},
    {"tokens": ["a", "b"]}, {"eos_token": "</s>", "stop_token": "###", "pad_token": "<pad>"},
    {"next_page_token": "CAUQAA", "nextToken": "abc123def456"}, {"cost_per_token": "0.000002"},
    {"session_id": "s-17", "sessionId": "abc123"}, {"session.id": "c-9"}, {"has_password": True, "password_set": False},
    {"password": None, "secret": "", "api_key": None}, {"api_key_id": "key-17", "secret_name": "db", "token_id": 42},
    {"password_policy": "12 letters", "token_url": "https://example.com/token", "cookie_consent": "yes"},
    {"private_key_path": "/etc/ssl/k.pem", "credential_type": "oauth"}, {"author": "Ann", "authority": "x"},
    {"monkey": "see", "keyboard": "qwerty", "key": "value", "keys": [1]}, {"secretary": "Bob", "tokenizer": "bpe"},
    {"project_id": "shop", "chat_id": "c-17", "user_id": "u-1", "model": "gpt-4o", "provider": "openai"},
    {"writer": {"id": "413797d45e56802c", "seq": 1}, "v": 1}, {"touched_files": ["a.py"], "tags": ["auth", "password"]},
    {"finish_reasons": ["stop"], "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
    ["authorization", "cookie", "password"], [["a", 1], ["b", 2]], {"name": "temperature", "value": 0.7},
    {"role": "user", "content": "What is a password?"}, {"PWD": "/home/me", "OLDPWD": "/"}, 42, 1.5, True, None,
)  # fmt: skip
