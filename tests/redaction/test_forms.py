"""The forms in which text gives a name and its secret, and what has the same form and is none."""

import collections
import html
import json
import logging

import pytest

from llm_logging import LLMFileHandler
from llm_logging.redaction.redactor import Redactor
from tests.redaction.corpus import ALNUM, LOWER_HEX, Maker

REDACTOR = Redactor()
MAKER = Maker(41)
GENERATED = (
    'api_key {s} "{v}"', 'db.password := "{v}"', "PASSWORD ?= {v}", "client_secret => {v}", "{v!r} == my_password)", "token -> {v}",
    "os.environ['APP_TOKEN'] = '{v}'", 'settings["jwt_secret"] = "{v}"', 'ENV["API_KEY"] ||= "{v}"', "tool --auth-token {v} run",
    "tool --client-secret '{v}'", "ENV API_TOKEN {v}", "setx STRIPE_API_KEY {v}", "<apiKey>{v}</apiKey>", '<add key="ApiToken" value="{v}" />',
    '<string name="api_key">{v}</string>', "<key>ClientSecret</key>\n<string>{v}</string>", "<secret><![CDATA[{v}]]></secret>",
    "api_key: |\n  {v}\n", "- name: DB_PASSWORD\n  value: {v}\n", '"name": "API_TOKEN", "value": "{v}"', "**API key:** {v}",
    "| API key | {v} |", "- Password: `{v}`", "my api key is {v}", "The access token was {v}.", "our client secret: {v}",
    "Your password:\n{v}\n", "credentials: ann:{v}", "RuntimeError: api_key = {v}", "[WARN] refresh token = {v} expired",
    "Authorization: Key {v}", "Authorization: SSWS {v}", 'Authorization: Token token="{v}"', "X-Auth-Token: {v}",
    "https://example.com/v1?key={v}", "https://example.com/v1?a=1&access_token={v}&b=2", "Server=h;UID=sa;PWD={v};", "password={v}, user=ann",
    'std::string secret("{v}");', 'System.setProperty("API_TOKEN", "{v}")', 'new NetworkCredential("ann", "{v}")', "mein Passwort ist {v}",
    "contraseña: {v}", "mot de passe: {v}", "senha = {v}", "пароль: {v}", "密码：{v}", "パスワード: {v}", "비밀번호: {v}", "şifre: {v}",
)  # fmt: skip
WORDS = (
    "[db]\npassword = {v}\n", "spring.datasource.password={v}\n", "<password>{v}</password>", "export API_KEY={v}", "--from-literal=password={v}",
    "Server=h;User Id=u;Password={v};Database=d", "host=h password={v} dbname=d", "jdbc:oracle:thin:ann/{v}@//h:1521/x", 'password = "{v}"',
)  # fmt: skip
HARMLESS = (
    "pw = getpass.getpass('Password: ')\nrun(pw)\n", 'print(header="Cookie:")\n', '"cookie": "0.7.1"', "  js-tiktoken: 1.0.21\n",
    '"next-auth": "^4.24.14"', 'api_key = "OPENAI_API_KEY"', "auth_header = 'Proxy-Authorization'", "Authorization: Bearer <token>",
    "-H 'Authorization: Bearer $API_KEY'", "secretAccessKey: env.S3_SECRET_ACCESS_KEY,", "SERVER_AUTH = '1.3.6.1.5.5.7.3.1'",
    "io.jsonwebtoken:jjwt-jackson-0.11.2", 'apiKey: "insert_key_here"', 'Kind::Session => "sessions",', "password: ${DB_PASSWORD}",
    "password = xxxxxxxx", "token = next_token1", "primary_key: 3f2a9c41bd", "sort_key = 'created_at#2026-01-01'", "max_tokens = 4096",
    "api_key = {{ vault_api_key }}", "password: null", "secret_path = '/run/secrets/db'", "token_url: https://example.com/token",
)  # fmt: skip


def value() -> str:
    return MAKER(ALNUM, 23) + "7"


@pytest.mark.parametrize("form", GENERATED)
def test_a_generated_value_goes_wherever_a_name_of_a_secret_stands_before_it(form):
    for sign in ("==", "!=", "::=", "+=") if "{s}" in form else ("",):
        secret = value()
        text = form.replace("{v!r}", f"'{secret}'").replace("{v}", secret).replace("{s}", sign)
        assert secret not in REDACTOR.redact_text(text), text
        assert not REDACTOR.clean(json.dumps({"message": text}, ensure_ascii=False)), text
        # As HTML writes quotes, where one pair stands around the value.
        if not {"&", "<", ">", "'", "`", "("} & set(text) and text.count('"') == 2 and "token=" not in text:
            escaped = html.escape(text)
            assert secret not in REDACTOR.redact_text(escaped), escaped


@pytest.mark.parametrize("form", WORDS)
def test_a_word_goes_where_the_form_assigns_it(form):
    assert "swordfish" not in REDACTOR.redact_text(form.replace("{v}", "swordfish"))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_has_the_form_of_a_secret_stays(text):
    assert REDACTOR.redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    ["AZURE_OPENAI_KEY", "COSMOS_KEY", "dd_app_key", "write_key", "unseal_key", "db_pw", "GOOGLE_MAPS_KEY"],
)
def test_a_key_of_a_provider_is_secret_where_its_value_looks_generated(name):
    secret = MAKER(LOWER_HEX, 31) + "a"
    assert secret not in str(REDACTOR.redact({name: secret}))
    assert secret not in REDACTOR.redact_text(f"{name}={secret}")
    kept = {name: "a"} if name.isupper() else {"primary_key": secret}
    assert REDACTOR.redact(kept) is kept


@pytest.mark.parametrize(
    "text",
    ["a{b}c12345678", "ab[cd]12345678", "pw;word12345", "xy,zw12345678", "(abc)12345678", "Tr0ub&3xyz99"],
)
def test_a_value_without_quotes_goes_whole_whatever_signs_it_holds(text):
    for form in ("password={}", "password: {}", "DB_PASSWORD={}\n"):
        found = REDACTOR.redact_text(form.format(text))
        assert not any(text[at : at + 5] in found for at in range(len(text) - 4)), found


Login = collections.namedtuple("Login", "user password")  # noqa: PYI024  the older way, which many use


@pytest.mark.parametrize(
    "made",
    [
        lambda secret: Login("ann", secret),
        lambda secret: [{"Name": "DB_PASSWORD", "Value": secret}],
        lambda secret: {"header": "X-Api-Key", "value": secret},
        lambda secret: ["mysql", f"-p{secret}", "db"],
        lambda secret: ["docker", "login", "-p", secret],
        lambda secret: ["curl", "-u", f"ann:{secret}", "https://example.com"],
    ],
)
def test_names_that_stand_beside_a_value_tell_it_in_a_logged_value(made, tmp_path):
    secret = value()
    handler = LLMFileHandler(root=tmp_path)
    logger = logging.getLogger("redaction.forms")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.info("x", extra={"project_id": "p", "value": made(secret)})
    logger.info("sent %(password)s to %(user)s", {"password": secret, "user": "ann"})
    logger.removeHandler(handler)
    handler.close()
    text = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    assert secret not in text
    assert "to ann" in text


def test_thousands_of_keys_that_become_one_marker_are_numbered():
    found = Redactor(patterns=["email"]).redact({f"u{number}@example.org": number for number in range(3000)})
    assert list(found.values()) == list(range(3000))
    assert "[redacted:email]#3000" in found


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "fe80::1",
        "a@b.de",
        "pay DE89370400440532013000 today",
        "IBAN DE89 3704 0044 0532 0130 00 BIC X",
    ],
)
def test_personal_data_goes_however_short_and_whatever_follows(text):
    found = Redactor(patterns=["email", "ip", "iban"]).redact_text(text)
    assert "redacted" in found
    assert not any(part in found for part in ("8.8.8", "fe80", "a@b", "0532"))


def test_many_short_texts_are_examined_as_each_by_itself_would_be():
    texts = [
        form.replace("{v}", value()).replace("{v!r}", "x").replace("{s}", "=")
        for form in (*GENERATED, *WORDS, *HARMLESS)
    ]
    value_of = {f"field{number}": text for number, text in enumerate(texts)}
    assert Redactor().redact(value_of) == {
        name: REDACTOR.redact_text(text) for name, text in value_of.items()
    }
