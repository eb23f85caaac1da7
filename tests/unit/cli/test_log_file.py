from pathlib import Path

from cli.embedded.log_file import LogFile


def test_the_tail_is_the_last_twenty_lines_of_the_latest_run(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "part.log")
    with log.open_for_run() as output:
        output.write(b"of an earlier run\n")
    with log.open_for_run() as output:
        output.writelines(f"line {number}\n".encode() for number in range(30))

    assert [f"line {number}" for number in range(10, 30)] == log.tail().splitlines()


def test_a_run_that_wrote_nothing_has_an_empty_tail(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    with log.open_for_run() as output:
        output.write(b"of an earlier run\n")
    log.open_for_run().close()

    assert not log.tail()


def test_a_part_that_never_ran_has_an_empty_tail(tmp_path: Path) -> None:
    assert not LogFile(tmp_path / "part.log").tail()


def test_a_file_that_grew_too_large_makes_way_for_a_fresh_one(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    with path.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)

    LogFile(path).open_for_run().close()

    assert path.stat().st_size == 0
    assert (tmp_path / "part.log.1").stat().st_size == 16 * 1024 * 1024 + 1


def test_bytes_that_are_no_text_are_quoted_all_the_same(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    with log.open_for_run() as output:
        output.write(b"before \xff after\n")

    assert log.tail() == "before � after"
