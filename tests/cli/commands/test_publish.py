"""`publish`: what it writes and says."""

import json

from tests.maintenance.fleet import log_pairs, log_requests


def test_the_command_says_what_it_wrote(cli, root, tmp_path):
    log_requests(root, 20)
    log_pairs(root, 0, 100)
    done = cli("publish", "--root", root, "--to", tmp_path / "table", "--json")
    told = json.loads(done.out)
    assert [day["requests"] for day in told["days"]] == [85, 15]
    assert len(told["open_days"]) == 1
    assert "2 unchanged" in cli("publish", "--root", root, "--to", tmp_path / "table").out
    assert "CREATE EXTERNAL TABLE" in cli("publish", "--to", "s3://b/t", "--ddl", "athena").out
    assert cli("publish", "--to", tmp_path, "--ddl", "oracle").status == 2
