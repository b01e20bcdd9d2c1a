r"""The credential formats that can be told by their look. To add a format, add a row.

A row has five columns, separated by two spaces or more:

1. *kind*: what the marker says, `[redacted:KIND]`.
2. *beginning*: the literal text that the credential starts with, at least two characters. `LEFT<MARK` is for formats
   whose telling text stands in the middle: LEFT is a pattern of fixed length, MARK the literal text.
3. *rest*: a pattern for what follows, in the syntax that Python's `re` and Rust's `regex` share. Shorthands: `@a` letter or
   digit, `@l` lower-case letter or digit, `@U` upper-case letter or digit, `@h` hex digit, `@H` hex digit of either case,
   `@d` digit, `@w` URL-safe base64, `@b` base64, `@u` UUID. Every repetition is greedy; `{20,}` takes all that follows.
4. *needs*: `digit`, `capital` or `mixed` where the rest must hold a digit, a capital or both among its first 40 characters,
   to tell keys from words; `-` otherwise.
5. *source*: `g` gitleaks, `t` trufflehog, `n` noseyparker, `h` GitHub's secret scanning, `p` the provider's documentation.

Of rows with one beginning the more special comes first. Samples for the tests are generated from the row. Public identifiers
(publishable keys, account ids, ARNs) are not listed. Lengths are lower bounds where a provider says that they may grow, and
checksums are not verified: a key with one wrong letter is still more secret than a log should show.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

__all__ = ["FORMATS", "KINDS", "Format"]

_SHORTHANDS: Final = {
    "@u": "@h{8}-@h{4}-@h{4}-@h{4}-@h{12}",
    "@a": "[A-Za-z0-9]",
    "@l": "[a-z0-9]",
    "@U": "[A-Z0-9]",
    "@h": "[0-9a-f]",
    "@H": "[0-9A-Fa-f]",
    "@d": "[0-9]",
    "@w": "[A-Za-z0-9_-]",
    "@b": "[A-Za-z0-9+/]",
}

_ROWS: Final = r"""
anthropic-key         sk-ant-                     @w{16,}                                       -      g
openrouter-key        sk-or-                      @w{16,}                                       -      t
langfuse-key          sk-lf-                      @w{16,}                                       -      p
openai-key            sk-proj-                    @w{16,}                                       -      g
openai-key            sk-svcacct-                 @w{16,}                                       -      g
openai-key            sk-service-                 @w{16,}                                       digit  t
openai-key            sk-admin-                   @w{16,}                                       -      g
openai-key            sk-None-                    @w{16,}                                       -      p
openai-key            sk-                         @a{4,64}T3BlbkFJ@a{4,}                        -      t
openai-key            sk-                         @a{20,}                                       digit  g
api-key               sk-                         [A-Za-z0-9]{2,12}-@a{20,}                     digit  p
openai-session        sess-                       @a{40}                                        -      p
google-key            AIza                        @w{35}                                        -      g
google-key            AQ.Ab                       @w{30,}                                       -      p
google-token          ya29.                       [A-Za-z0-9_.-]{10,}                           digit  n
google-token          1//0                        @w{28,}                                       -      p
google-secret         GOCSPX-                     @w{28}                                        -      n
huggingface-token     hf_                         @a{30,}                                       capital  g
huggingface-token     api_org_                    @a{30,}                                       capital  g
groq-key              gsk_                        @a{40,}                                       -      t
xai-key               xai-                        [A-Za-z0-9_]{40,}                             -      t
perplexity-key        pplx-                       @a{32,}                                       -      g
replicate-token       r8_                         @w{37}                                        -      t
fireworks-key         fw_                         @a{20,}                                       digit  p
cerebras-key          csk-                        @a{32,}                                       -      p
nvidia-key            nvapi-                      @w{32,}                                       -      t
together-key          tgp_v1_                     @w{30,}                                       -      p
langsmith-key         lsv2_                       (?:pt|sk)_@h{32}_@h{8,12}                     -      t
pinecone-key          pcsk_                       @w{40,}                                       -      t
voyage-key            pa-                         @w{43}                                        mixed  p
jina-key              jina_                       @w{40,}                                       -      n
tavily-key            tvly-                       @w{20,}                                       -      n
firecrawl-key         fc-                         @h{32}                                        -      n
elevenlabs-key        sk_                         @h{48}                                        -      t
databricks-token      dapi                        @h{32}(?:-[0-9])?                             -      g
databricks-token      dkea                        @h{32}(?:-[0-9])?                             -      h
wandb-key             wandb_v1_                   @w{30,}                                       -      p
kagi-key              kagi_                       @w{40,}                                       digit  n
braintrust-key        sk-bt-                      @w{30,}                                       -      p
posthog-key           phx_                        [A-Za-z0-9_]{40,48}                           -      t
posthog-key           phs_                        [A-Za-z0-9_]{40,48}                           -      t
salad-key             salad_cloud_                @a{1,8}_@a{7,}                                digit  t
voiceflow-key         VF.                         (?:(?:DM|WS)\.)?@H{24}\.@a{16}                -      t
sourcegraph-token     slk_                        @h{64}                                        -      t
aws-access-key-id     AKIA                        @U{16}                                        -      g
aws-access-key-id     ASIA                        @U{16}                                        -      g
aws-access-key-id     ABIA                        @U{16}                                        -      g
aws-access-key-id     ACCA                        @U{16}                                        -      g
aws-access-key-id     A3T                         @U{17}                                        digit  g
aws-session-token     IQoJb3JpZ2lu                [A-Za-z0-9+/=]{60,}                           -      p
aws-session-token     FwoGZXIvYXdz                [A-Za-z0-9+/=]{60,}                           -      p
aws-bedrock-key       ABSK                        @b{80,}={0,2}                                 -      g
aws-bedrock-key       bedrock-api-key-            [A-Za-z0-9+/=_-]{28,}                         -      g
aws-appsync-key       da2-                        @l{26}                                        -      t
aws-mws-key           amzn.mws.                   @u                                            -      n
alibaba-key-id        LTAI                        @a{16,24}                                     -      g
tencent-key-id        AKID                        @a{32}                                        -      p
ibm-key               ApiKey-                     @w{30,}                                       digit  p
digitalocean-token    dop_v1_                     @h{64}                                        -      g
digitalocean-token    doo_v1_                     @h{64}                                        -      g
digitalocean-token    dor_v1_                     @h{64}                                        -      g
cloudflare-key        v1.0-                       [A-Za-z0-9-]{171}                             -      g
cloudflare-key        cfk_                        @a{40}@h{8}                                   -      t
cloudflare-token      cfut_                       @a{40}@h{8}                                   -      t
cloudflare-token      cfat_                       @a{40}@h{8}                                   -      t
heroku-key            HRKU-                       @w{36,}                                       -      g
fly-token             FlyV1                       [ ]fm[0-9]{1,9}[a-z]?_[A-Za-z0-9+/=,_-]{30,}  -      t
fly-token             fm1a_                       @b{60,}={0,3}                                 -      g
fly-token             fm1r_                       @b{60,}={0,3}                                 -      g
fly-token             fm2_                        @b{60,}={0,3}                                 -      g
fly-token             fo1_                        @w{43}                                        -      g
netlify-token         nfp_                        @a{36}                                        -      p
vercel-token          vcp_                        @a{24,}                                       digit  h
vercel-token          vci_                        @a{24,}                                       digit  h
vercel-token          vck_                        @a{24,}                                       digit  h
supabase-token        sbp_                        @l{40}                                        -      t
supabase-key          sb_secret_                  @w{20,}                                       -      h
planetscale-token     pscale_                     (?:tkn|oauth|pw)_[A-Za-z0-9_=.-]{32,}         -      g
neon-key              napi_                       @l{40,}                                       digit  h
mongodb-key           mdb_sa_sk_                  @w{30,}                                       -      h
turso-token           tursodb_                    @w{30,}                                       digit  p
clickhouse-key        4b1d                        @a{38}                                        mixed  g
confluent-key         cflt                        @b{60}                                        mixed  h
aiven-token           aivenv1                     @a{60,}                                       -      h
couchbase-key         cbc_                        @w{30,}                                       digit  p
doppler-token         dp.                         (?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,}  -   t
vault-token           hvs.                        @w{24,}                                       -      g
vault-token           hvb.                        @w{24,}                                       -      g
vault-token           hvr.                        @w{24,}                                       -      p
vault-token           s.                          @a{24}                                        mixed  g
vault-token           s.CAES                      @w{60,}                                       -      n
pulumi-token          pul-                        @l{40}                                        digit  t
grafana-token         glsa_                       [A-Za-z0-9_]{41}                              -      t
grafana-token         glc_                        [A-Za-z0-9+/]{32,}={0,3}                      -      g
grafana-key           eyJrIjoi                    [A-Za-z0-9+/]{40,}={0,3}                      -      g
newrelic-key          NRAK-                       @U{27}                                        -      g
newrelic-key          NRII-                       @w{25,32}                                     digit  g
newrelic-key          NRIQ-                       @w{25,32}                                     digit  n
newrelic-key          NRRA-                       @h{42}                                        -      n
newrelic-key          NRAA-                       @h{27}                                        -      n
newrelic-key          NRBR-                       @h{19}                                        -      t
newrelic-key          NRSP-                       @h{30,}                                       -      n
newrelic-key          NRJS-                       @h{19}                                        -      g
newrelic-key          eu01xx                      @h{26,30}(?:FFFF)?NRAL                        -      n
newrelic-key          eu01xx                      @h{36}-NRMA                                   -      t
newrelic-key          AA                          @h{40}-NRMA                                   -      t
sentry-token          sntrys_                     [A-Za-z0-9+/=_-]{40,}                         -      g
sentry-token          sntryu_                     @h{64}                                        -      g
dynatrace-token       dt0                         [a-z][0-9]{2}\.@a{8,24}\.@a{60,64}            -      g
datadog-token         ddp_                        @a{36}                                        -      t
datadog-token         ddw_                        @a{36}                                        -      t
rootly-key            rootly_                     @h{64}                                        -      t
pganalyze-token       pgar_                       @a{27}                                        -      t
honeycomb-key         hcaik_                      @l{50,}                                       -      h
honeycomb-key         hcbik_                      @l{50,}                                       -      h
logtail-token         lt_                         @a{40,}                                       mixed  p
openshift-token       sha256~                     @w{43}                                        -      g
onepassword-token     ops_eyJ                     @b{60,}={0,3}                                 -      g
onepassword-key       A3-                         @U{6}-(?:@U{11}|@U{6}-@U{5})-@U{5}-@U{5}-@U{5}  -    g
age-key               AGE-SECRET-KEY-1            @U{58}                                        -      g
tailscale-key         tskey-                      [a-z]{2,16}-@a{4,}-@a{4,}                     digit  t
tailscale-key         tskey-                      @a{12,}-@a{4,}                                digit  n
ngrok-key             cr_                         @a{40,}                                       mixed  p
readme-key            rdme_                       @l{70}                                        -      g
prefect-key           pnu_                        @a{36}                                        -      g
prefect-key           pnb_                        @a{36}                                        -      p
stackhawk-key         hawk.                       @w{20}\.@w{20}                                -      n
stytch-key            secret-live-                [A-Za-z0-9_=-]{36,}                           digit  p
stytch-key            secret-test-                [A-Za-z0-9_=-]{36,}                           digit  p
workos-key            sk_live_                    @w{20,}                                       digit  h
authress-key          sc_                         @l{5,30}\.@l{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}  -  g
authress-key          ext_                        @l{5,30}\.@l{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}  -  g
authress-key          scauth_                     @l{5,30}\.@l{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}  -  g
authress-key          authress_                   @l{5,30}\.@l{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}  -  g
github-token          github_pat_                 [A-Za-z0-9_]{36,}                             -      g
github-token          ghp_                        [A-Za-z0-9_]{36,}                             -      g
github-token          gho_                        [A-Za-z0-9_]{36,}                             -      g
github-token          ghu_                        [A-Za-z0-9_]{36,}                             -      g
github-token          ghs_                        [A-Za-z0-9_]{36,}                             -      g
github-token          ghr_                        [A-Za-z0-9_]{36,}                             -      g
gitlab-token          glpat-                      [A-Za-z0-9_.=-]{20,}                          -      g
gitlab-token          gldt-                       @w{20,}                                       -      g
gitlab-token          glrt-                       [A-Za-z0-9_.-]{20,}                           -      g
gitlab-token          glrtr-                      [A-Za-z0-9_.-]{20,}                           -      p
gitlab-token          glcbt-                      @w{20,}                                       -      g
gitlab-token          glptt-                      @h{40}                                        -      g
gitlab-token          glft-                       @w{20,}                                       -      g
gitlab-token          glffct-                     @w{20,}                                       -      g
gitlab-token          glimt-                      @w{20,}                                       -      g
gitlab-token          glagent-                    @w{40,}                                       -      g
gitlab-token          gloas-                      @w{40,}                                       -      g
gitlab-token          glsoat-                     @w{20,}                                       -      g
gitlab-token          glwt-                       @w{20,}                                       -      p
gitlab-token          GR1348941                   @w{20}                                        -      g
gitlab-session        _gitlab_session=            @l{32}                                        -      g
atlassian-token       ATATT                       [A-Za-z0-9+/=_-]{12,}                         digit  t
atlassian-token       ATCTT3                      [A-Za-z0-9+/=_-]{20,}                         -      t
bitbucket-password    ATBB                        @a{24,36}                                     -      t
npm-token             npm_                        @a{36}                                        -      g
pypi-token            pypi-AgE                    @w{40,}                                       -      g
pypi-token            pypi-AgN                    @w{40,}                                       -      n
rubygems-key          rubygems_                   @l{48}                                        -      t
crates-token          cio                         @a{32}                                        digit  n
docker-token          dckr_pat_                   @w{27}                                        -      n
docker-token          dckr_oat_                   @w{27,}                                       -      t
docker-swarm-key      SWMKEY-                     [0-9]-@b{43}                                  -      n
docker-swarm-key      SWMTKN-                     [0-9]-@l{50}-@l{25}                           -      n
artifactory-key       AKCp                        @a{69}                                        -      g
artifactory-token     cmVmd                       @a{59}                                        -      g
sourcegraph-token     sgp_                        (?:[0-9A-Fa-f]{16}_|local_)?@H{40}            -      g
clojars-token         CLOJARS_                    @a{60}                                        -      g
nuget-key             oy2                         @l{43}                                        -      n
circleci-token        CCIPAT_                     @w{30,}                                       -      t
circleci-token        CCIPRJ_                     @w{30,}                                       -      h
buildkite-token       bkua_                       @l{40}                                        -      t
buildkite-token       bkct_                       @l{40,}                                       -      h
harness-key           pat.                        @w{22}\.@a{24}\.@a{20}                        -      g
harness-key           sat.                        @w{22}\.@a{24}\.@a{20}                        -      g
octopus-key           API-                        @U{25,34}                                     digit  g
snyk-token            snyk_                       @w{30,}                                       digit  h
sonar-token           squ_                        @h{40}                                        -      g
sonar-token           sqp_                        @h{40}                                        -      g
sonar-token           sqa_                        @h{40}                                        -      g
sonar-token           sqb_                        @h{40}                                        -      p
sonar-token           sqco_                       @a{59}                                        -      t
dependency-track-key  odt_                        @a{32,}                                       digit  n
infracost-key         ico-                        @a{32}                                        -      g
spectral-token        spu-                        @l{32}                                        digit  t
endor-key             endr+                       [A-Za-z0-9-]{16}                              -      t
trufflehog-key        thog-                       (?:key|secret)-@h{16,32}                      -      t
scalingo-token        tk-us-                      @w{48}                                        -      g
settlemint-token      sm_                         (?:aat|pat|sat)_@a{16}                        digit  g
defined-token         dnkey-                      [A-Za-z0-9=_-]{26}-[A-Za-z0-9=_-]{52}         -      g
robinhood-key         rh-api-                     @H{8}-@H{4}-@H{4}-@H{4}-@H{12}                -      t
launchdarkly-key      sdk-                        @l{8}-@l{4}-@l{4}-@l{4}-@l{12}                digit  t
launchdarkly-key      api-                        @l{8}-@l{4}-@l{4}-@l{4}-@l{12}                digit  t
launchdarkly-key      mob-                        @l{8}-@l{4}-@l{4}-@l{4}-@l{12}                digit  p
pubnub-key            sec-c-                      [A-Za-z0-9=+/]{36,}                           digit  p
pubnub-key            pub-c-                      @l{8}-@l{4}-@l{4}-@l{4}-@l{12}                digit  t
pubnub-key            sub-c-                      @l{8}-@l{4}-@l{4}-@l{4}-@l{12}                digit  t
slack-token           xoxe.xox                    [bp]-[A-Za-z0-9-]{20,}                        -      g
slack-token           xox                         [abcepr]-[A-Za-z0-9-]{8,}                     digit  g
slack-token           xox                         [os]-[0-9]{1,16}-[A-Za-z0-9-]{8,}             digit  g
slack-token           xapp-                       [0-9]-[A-Za-z0-9-]{20,}                       -      g
slack-webhook         hooks.slack.com/            (?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20,}  -  g
discord-webhook       discord.com/api/webhooks/   [0-9]{15,22}/@w{40,}                          -      t
discord-webhook       discordapp.com/api/webhooks/  [0-9]{15,22}/@w{40,}                        -      t
teams-webhook         webhook.office.com/webhookb2/  [A-Za-z0-9@-]{40,}/IncomingWebhook/[A-Za-z0-9/-]{32,}  -  g
teams-webhook         outlook.office.com/webhook/    [A-Za-z0-9@-]{40,}/IncomingWebhook/[A-Za-z0-9/-]{32,}  -  n
zapier-webhook        hooks.zapier.com/hooks/catch/  [A-Za-z0-9/]{12,}                          -      t
tines-webhook         tines.com/webhook/          @l{32}/@l{32}                                 -      t
sendgrid-key          SG.                         @w{16,32}\.@w{32,64}                          -      g
sendgrid-key          SG.                         [A-Za-z0-9=_.-]{66}                           -      g
mailgun-key           key-                        @h{32}                                        -      g
mailgun-key           pubkey-                     @h{32}                                        -      g
mailersend-key        mlsn.                       @h{64}                                        -      h
brevo-key             xkeysib-                    @w{64,}                                       -      g
brevo-key             xsmtpsib-                   @w{64,}                                       -      p
resend-key            re_                         @a{8}_@a{24}                                  -      p
twilio-key            SK                          @H{32}                                        -      g
linear-key            lin_api_                    @a{32,}                                       -      g
linear-key            lin_oauth_                  @h{64}                                        -      h
notion-token          ntn_                        @a{40,}                                       -      g
notion-token          secret_                     @a{43}                                        -      t
airtable-token        pat                         @a{14}\.@h{64}                                -      g
asana-token           1/                          [0-9]{16}:@h{32}                              -      h
asana-token           2/                          [0-9]{16}/[0-9]{16}:@h{32}                    -      h
figma-token           figd_                       @w{36,}                                       -      n
figma-token           figp_                       [A-Za-z0-9_=-]{36,}                           -      t
figma-token           figo_                       @w{36,}                                       -      h
hubspot-token         pat-                        (?:na|eu|ap)[0-9]-@H{8}-@a{4}-@a{4}-@a{4}-@a{12}  -  p
hubspot-token         pat-                        (?:na|eu|ap)[0-9]-@a{8}-@a{4}-@a{4}-@a{4}-@a{12}  -  t
typeform-token        tfp_                        [A-Za-z0-9_.=-]{40,}                          -      g
postman-key           PMAK-                       [A-Za-z0-9-]{59}                              -      g
contentful-token      CFPAT-                      @w{43}                                        -      t
dropbox-token         sl.                         [A-Za-z0-9_=-]{100,}                          -      g
dropbox-token         sl.u.                       [A-Za-z0-9_=-]{100,}                          -      p
fullstory-key         na1.                        [A-Za-z0-9+/]{100}                            -      t
closecrm-key          api_                        [A-Za-z0-9.]{45}                              mixed  t
klaviyo-key           pk_                         (?:@a{6}_)?@h{34}                             -      t
frameio-token         fio-u-                      [A-Za-z0-9_=-]{64}                            -      g
intra42-secret        s-s4t2                      (?:ud|af)-@h{64}                              -      g
zoho-token            1000.                       @h{32}\.@h{32}                                -      t
ubidots-token         BBFF-                       @a{30}                                        -      t
bitbucket-token       BBDC-                       [A-Za-z0-9+/@_-]{40,50}                       -      t
nightfall-key         NF-                         @a{32}                                        digit  t
adafruit-key          aio_                        @a{28}                                        -      n
apify-key             apify_api_                  [A-Za-z0-9-]{36}                              -      t
algolia-key           ALGOLIA_                    @a{30,}                                       digit  p
bannerbear-key        bb_                         (?:pr|ma)_@h{30}                              -      t
finage-key            API_KEY                     @U{32}                                        digit  t
dfuse-key             web_                        @l{32}                                        digit  t
mapbox-token          sk.eyJ                      [A-Za-z0-9_-]{20,}\.@w{20,}                   -      n
mapbox-token          sk.                         [A-Za-z0-9.-]{80,240}                         mixed  t
mapbox-token          pk.eyJ                      [A-Za-z0-9_-]{20,}\.@w{20,}                   -      n
locationiq-token      pk.                         [A-Za-z0-9-]{32}                              digit  t
yandex-key            AQVN                        @w{35,38}                                     -      g
yandex-key            y0_                         @w{55,}                                       digit  p
yandex-token          t1.                         [A-Za-z0-9_-]{20,}={0,2}\.@w{86}={0,2}        -      g
tinybird-token        p.eyJ                       @w{30,}\.@w{20,}                              -      h
twitch-token          live_                       [0-9]{6,12}_@a{24,}                           -      n
gocardless-token      live_                       [A-Za-z0-9=_-]{40}                            digit  g
lob-key               live_                       @h{35}                                        -      g
lob-key               test_                       @h{35}                                        -      g
stripe-key            sk_live_                    @a{10,}                                       -      g
stripe-key            sk_test_                    @a{10,}                                       -      g
stripe-key            sk_prod_                    @a{10,}                                       digit  g
stripe-key            rk_live_                    @a{10,}                                       -      g
stripe-key            rk_test_                    @a{10,}                                       -      g
stripe-key            rk_prod_                    @a{10,}                                       digit  g
stripe-secret         pi_                         @a{24}_secret_@a{25}                          -      t
stripe-secret         seti_                       @a{24}_secret_@a{25}                          -      p
webhook-secret        whsec_                      [A-Za-z0-9+/=]{24,}                           -      h
paystack-key          sk_                         [a-z]{1,12}_@a{40}                            digit  t
freemius-key          sk_                         [!-&(-~]{29}                                  mixed  g
abstract-key          sk_                         (?:test_)?[0-9]{1,2}x[123]_@H{64}             -      t
square-token          EAAA                        @w{22,60}                                     digit  g
square-token          sq0atp-                     @w{22,60}                                     -      g
square-secret         sq0csp-                     @w{43}                                        -      n
square-secret         sq0c                        [a-z]{2}-@w{40,50}                            -      t
square-secret         sq0i                        [a-z]{2}-@w{22,43}                            -      t
paypal-token          access_token$               (?:production|sandbox)\$@l{16}\$@h{32}        -      n
braintree-token       access_token$               (?:production|sandbox)\$@l{16}\$@h{32}        -      n
plaid-token           access-                     (?:sandbox|development|production)-@u         -      g
razorpay-key          rzp_live_                   @a{14,}                                       -      t
razorpay-key          rzp_test_                   @a{14,}                                       -      p
flutterwave-key       FLWSECK                     (?:_TEST)?-@a{12,}(?:-X)?                     -      g
flutterwave-key       FLWPUBK_TEST-               @a{32}-X                                      -      g
shopify-token         shpat_                      @H{32}                                        -      g
shopify-token         shpca_                      @H{32}                                        -      g
shopify-token         shppa_                      @H{32}                                        -      g
shopify-secret        shpss_                      @H{32}                                        -      g
shopify-token         shpua_                      @H{32}                                        -      h
shippo-token          shippo_                     (?:live|test)_@H{40}                          -      g
duffel-token          duffel_                     (?:test|live)_[A-Za-z0-9_=-]{43}              -      g
easypost-key          EZAK                        @a{54}                                        -      g
easypost-key          EZTK                        @a{54}                                        -      g
ramp-key              ramp_                       (?:id|sec)_@a{40,48}                          -      t
pagarme-key           ak_live_                    @a{30}                                        -      t
fleetbase-key         flb_live_                   @a{20}                                        -      t
flexport-key          shltm_                      @w{40}                                        -      t
checkout-key          sk_sbox_                    @l{26,}                                       -      p
gemini-key            account-                    @a{20}                                        mixed  t
gemini-key            master-                     @a{20}                                        mixed  t
beamer-key            b_                          [a-z0-9=_-]{44}                               digit  g
facebook-token        EAAC                        @a{30,}                                       mixed  n
facebook-token        EAAM                        @a{30,}                                       mixed  g
facebook-token        EAA                         @a{90,}                                       mixed  n
facebook-token        IGQ                         @w{100,}                                      mixed  h
adobe-secret          p8e-                        @a{32}                                        -      g
salesforce-key        3MVG9                       [A-Za-z0-9_.=/+-]{60,}                        -      t
salesforce-token      5AEP861                     [A-Za-z0-9_.=]{60,}                           -      t
azure-token           0.A                         @w{50,}(?:\.[0-9])?\.Ag@w{60,}                -      t
azure-token           1.A                         @w{50,}(?:\.[0-9])?\.Ag@w{60,}                -      t
coinbase-key          organizations/              @u/apiKeys/@u                                 -      t
particle-token        particle_                   @h{40}                                        -      p
blynk-secret          oa2-client-id_              @w{32}:@a{40}                                 -      n
okta-token            SSWS                        [ ]00@w{40}                                   -      n
hashicorp-unseal      operator                    [ ]unseal[ ][A-Za-z0-9+/]{40,}={0,2}          -      n
password-hash         $2                          [abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}           -      n
password-hash         $1$                         [./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}         -      n
password-hash         $5$                         (?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}  -  n
password-hash         $6$                         (?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}  -  n
password-hash         $8$                         [./A-Za-z0-9]{14}\$[./A-Za-z0-9]{43}          -      n
password-hash         $9$                         [./A-Za-z0-9]{14}\$[./A-Za-z0-9]{43}          -      n
password-hash         $y$                         [./A-Za-z0-9]{2,8}\$[./A-Za-z0-9]{8,}\$[./A-Za-z0-9]{43}  -  n
password-hash         $argon2                     [a-z]{1,2}\$v=[0-9]{1,4}\$[a-z0-9=,]{4,40}\$[./+A-Za-z0-9]{8,64}\$[./+A-Za-z0-9]{16,}  -  p
password-hash         pbkdf2_sha256$              [0-9]{3,8}\$[A-Za-z0-9./+]{6,40}\$[A-Za-z0-9./+]{40,}={0,2}  -  p
kerberos-hash         $krb5                       (?:asrep|tgs|pa)\$[0-9]{2}\$[!-~]{40,}        -      n
jwt                   eyJ                         @w{8,}\.(?:eyJ@w{4,}\.@w*|@w*\.@w{8,}\.@w{8,}\.@w{8,})  -  g
jwt                   eyJ                         @w{14,}\.eyJ@w{10,}                           -      t
jwt                   ey                          @a{17,}\.ey[A-Za-z0-9/\\_-]{17,}\.[A-Za-z0-9/\\_-]{10,}={0,2}  mixed  g
jwt                   ewogI                       [A-Za-z0-9_-]{12,}={0,2}\.(?:eyJ|ewo)@w{12,}={0,2}\.@w{12,}  -  t
jwt                   ZXlK                        [A-Za-z0-9+/_-]{60,}={0,2}                    mixed  g
azure-secret          [A-Za-z0-9_~.]{3}[0-9]<Q~   [A-Za-z0-9_~.-]{31,34}                        -      g
azure-key             @a{52}<JQQJ99               @U{10}@a{16}                                  -      n
azure-key             @a{76}<AZDO                 @a{4}                                         -      n
azure-key             @b{42}<+ACR                 @a{6}                                         -      t
azure-key             @b{76}<+ASt                 @b{6}==                                       -      h
azure-key             @b{76}<ACDb                 @b{6}==                                       -      h
azure-key             @b{33}<AIoT                 @b{5}[A-P]=                                   -      h
azure-key             @b{33}<+ASb                 @b{5}[A-P]=                                   -      h
discord-token         MT                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         MD                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         Mj                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         Mz                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         ND                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         NT                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         Nj                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         Nz                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         OD                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         OT                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         Oj                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
discord-token         Oz                          @a{21,24}\.@w{6}\.@w{27,}                    -      t
telegram-token        [0-9]{10}<:A                @w{34}                                        -      n
telegram-token        [0-9]{9}<:A                 @w{34}                                        -      g
telegram-token        [0-9]{8}<:A                 @w{34}                                        -      g
telegram-token        [0-9]{10}<:AAF              @w{30,32}                                     -      n
terraform-token       @a{14}<.atlasv1.            [A-Za-z0-9_=-]{60,}                           -      g
airtable-token        @a{5}<.v1.                  @w{8,}\.@h{64}                                -      t
mailchimp-key         @h{32}<-us                  [0-9]{1,2}                                    -      g
maxmind-key           @a{6}_@a{29}<_mmk           [a-z]{0}                                      -      g
newrelic-key          @h{32}<FFFFNRAL             [a-z]{0}                                      -      t
newrelic-key          @h{36}<NRAL                 [a-z]{0}                                      -      n
salesforce-token      00@a{13}<!                  [A-Za-z0-9_.]{96}                             -      t
facebook-token        [0-9]{15}<|                 @w{27,40}                                     mixed  g
facebook-token        [0-9]{16}<|                 @w{27,40}                                     mixed  g
"""


@dataclass(frozen=True, slots=True)
class Format:
    """One credential format: a row.

    Attributes:
        kind: What the marker says.
        left: A pattern of fixed length for what stands before the mark; mostly "".
        prefix: The literal beginning, or the literal mark.
        tail: The pattern of what follows.
        needs: "", "digit", "capital" or "mixed".
        source: Where the format is documented.
    """

    kind: str
    left: str
    prefix: str
    tail: str
    needs: str
    source: str


def _expanded(pattern: str) -> str:
    for short, long in _SHORTHANDS.items():
        pattern = pattern.replace(short, long)
    return pattern


@cache
def _formats() -> tuple[Format, ...]:
    found = []
    for row in _ROWS.strip().splitlines():
        kind, begin, tail, needs, source = (column for column in row.split("  ") if column.strip())
        left, _, prefix = begin.strip().rpartition("<")
        found.append(
            Format(kind.strip(), _expanded(left), prefix, _expanded(tail.strip()), needs.strip(" -"), source.strip())
        )
    return tuple(found)


FORMATS: Final = _formats()
KINDS: Final = frozenset(row.kind for row in FORMATS)
