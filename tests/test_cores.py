"""Which cores a team has on machines that are not here: phones, boards, laptops, containers."""

import json
import os
import subprocess
import sys

import pytest
from machines import FakeMachine

import rgz
from rgz import cores, cpu, threads
from rgz.cli.bench import line_to_post


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty machine in place of this one, whose affinity mask allows all CPUs that it is given."""
    made = FakeMachine(tmp_path)
    monkeypatch.setattr(cores, "SYSTEM", made.system)
    monkeypatch.setattr(cores, "PROCESS", made.process)
    monkeypatch.setattr(cores, "allowed_cpus", lambda: set(made.numbers))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr(rgz._kernels, "openmp", lambda: 201511)
    monkeypatch.setattr(rgz._kernels, "openmp_limit", lambda: 1024)
    for name in ("RGZ_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RGZ_LANG", "en")
    threads._usable_cores.cache_clear()
    yield made
    threads._usable_cores.cache_clear()


def several(machine, count, first=0, **about):
    for number in range(first, first + count):
        machine.cpu(number, **about)


def usable(machine):
    return cores.usable(machine.numbers)


def told(machine):
    """The clusters of a machine as (CPUs, cores)."""
    return [(cores.shown(cluster.cpus), cluster.cores) for cluster in cores.clusters(machine.numbers)]


# --- kinds of cores ---


def test_of_four_and_four_the_strong_ones_are_taken(machine):
    several(machine, 4, capacity=381, mhz=1800)
    several(machine, 4, first=4, capacity=1024, mhz=2400)
    assert usable(machine) == (4, {4, 5, 6, 7}, None)
    assert told(machine) == [("4-7", 4), ("0-3", 4)]
    assert cores.clusters(machine.numbers)[0] == cores.Cluster((4, 5, 6, 7), 4, 1024, 2400)


def test_of_one_three_and_four_the_upper_two_kinds_are_taken(machine):
    several(machine, 4, capacity=325)
    several(machine, 3, first=4, capacity=871)
    machine.cpu(7, capacity=1024)
    assert usable(machine) == (4, {4, 5, 6, 7}, None)
    assert told(machine) == [("7", 1), ("4-6", 3), ("0-3", 4)]


def test_of_two_and_six_the_two_strong_ones_are_taken(machine):
    several(machine, 6, capacity=413)
    several(machine, 2, first=6, capacity=1024)
    assert usable(machine) == (2, {6, 7}, None)


def test_equal_cores_are_all_taken(machine):
    several(machine, 4, capacity=1024, mhz=2400)
    assert usable(machine) == (4, {0, 1, 2, 3}, None)
    assert told(machine) == [("0-3", 4)]


def test_cores_that_were_binned_apart_are_one_kind(machine):
    for number, capacity in enumerate((1024, 1009, 994, 1024)):
        machine.cpu(number, capacity=capacity)
    assert told(machine) == [("0-3", 4)]


def test_without_capacities_frequencies_tell_the_kinds(machine):
    several(machine, 4, mhz=1804)
    several(machine, 3, first=4, mhz=2419)
    machine.cpu(7, mhz=2841)
    assert usable(machine) == (4, {4, 5, 6, 7}, None)
    assert told(machine) == [("7", 1), ("4-6", 3), ("0-3", 4)]


def test_a_capacity_that_is_missing_anywhere_leaves_frequencies(machine):
    several(machine, 4, capacity=1024, mhz=1800)
    several(machine, 4, first=4, mhz=2400)
    assert usable(machine).cpus == {4, 5, 6, 7}


def test_frequencies_of_x86_tell_no_kinds(machine, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    several(machine, 2, mhz=5000)
    several(machine, 2, first=2, mhz=3300)
    assert usable(machine) == (4, {0, 1, 2, 3}, None)
    assert told(machine) == [("0-3", 4)]


def test_hyper_threads_of_a_core_count_once(machine):
    for number in range(8):
        machine.cpu(number, siblings=f"{number % 4},{number % 4 + 4}", core=number % 4)
    assert usable(machine).cores == 4
    assert told(machine) == [("0-7", 4)]


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_cores_numbered_anew_in_each_cluster_are_different_ones(machine, name):
    """RK3588 on Linux 5.19 and later: one package, and in each cluster core_id begins at 0."""
    for number, (capacity, core) in enumerate([(397, c) for c in range(4)] + [(1024, c % 2) for c in range(4)]):
        machine.cpu(number, capacity=capacity, core=core, name=name)
    assert usable(machine) == (4, {4, 5, 6, 7}, None)


def test_cores_switched_off_are_neither_counted_nor_shown(machine):
    several(machine, 4, capacity=381)
    several(machine, 2, first=6, capacity=1024)  # 4 and 5 are offline: they have no files and are not in the mask
    machine.online("0-3,6-7")
    assert cores.online_cpus() == {0, 1, 2, 3, 6, 7}
    assert usable(machine) == (2, {6, 7}, None)


def test_a_phone_that_leaves_only_small_cores_has_those(machine, monkeypatch):
    several(machine, 4, capacity=381)
    several(machine, 4, first=4, capacity=1024)
    monkeypatch.setattr(cores, "allowed_cpus", lambda: {0, 1, 2})  # Android's cpuset for programs in the background
    assert threads.resolve_threads() == 3
    assert threads.explain_threads() == (3, "physical cores; the affinity mask leaves out CPU 3-7")


def test_a_container_without_sys_has_its_logical_cpus(machine):
    machine.numbers = [0, 1, 2]
    assert usable(machine) == (3, {0, 1, 2}, None)
    assert cores.online_cpus() == {0, 1, 2}
    assert cores.clusters([0, 1, 2]) == [cores.Cluster((0, 1, 2), 3, None, None)]


def test_files_that_hold_no_numbers_tell_nothing(machine):
    several(machine, 2, capacity="?", siblings="?")
    machine.cpu(2, capacity=0, siblings="")
    machine.online("")
    machine.quota("", cpu_max="max")
    machine.member_of("nonsense", "0::", ":::")
    assert usable(machine) == (3, {0, 1, 2}, None)
    assert cores.online_cpus() == {0, 1, 2}


def test_numbers_are_written_as_the_kernel_writes_them():
    assert cores.shown([3, 0, 1, 2, 6, 8, 9]) == "0-3,6,8-9"
    assert cores.shown([]) == ""
    assert cores._parsed_list("0-3,6,8-9\n") == [0, 1, 2, 3, 6, 8, 9]


# --- quotas ---


@pytest.mark.parametrize(("maximum", "count"), [("200000 100000", 2), ("max 100000", 8), ("50000 100000", 1)])
def test_the_quota_of_a_container_of_version_2(machine, maximum, count):
    several(machine, 8)
    machine.member_of("0::/")
    machine.quota("", cpu_max=maximum)
    assert usable(machine).cores == count


def test_the_quota_of_a_group_around_ours_holds_too(machine):
    several(machine, 8)
    machine.member_of("0::/user.slice/app.scope")
    machine.quota("user.slice", cpu_max="300000 100000")
    machine.quota("user.slice/app.scope", cpu_max="max 100000")
    assert usable(machine) == (3, {*range(8)}, 3.0)
    machine.quota("user.slice/app.scope", cpu_max="150000 100000")
    assert usable(machine) == (2, {*range(8)}, 1.5)


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "count"), [(250_000, 3), (-1, 8)])
def test_the_quota_of_version_1(machine, folder, quota, count):
    several(machine, 8)
    machine.member_of("5:memory:/x", f"4:{folder}:/docker/abc", "1:name=systemd:/docker/abc")
    machine.quota(f"{folder}/docker/abc", **{"cpu_cfs_quota_us": quota, "cpu_cfs_period_us": 100_000})
    assert usable(machine).cores == count


def test_a_container_of_version_1_sees_its_own_group_as_the_root(machine):
    several(machine, 8)
    machine.member_of("4:cpu,cpuacct:/docker/abc")  # of the host: there is no such folder here
    machine.quota("cpu", cpu_cfs_quota_us=400_000, cpu_cfs_period_us=100_000)
    assert usable(machine).cores == 4


def test_a_group_whose_name_is_no_utf8_counts_like_another(machine):
    several(machine, 8)
    (machine.process / "cgroup").write_bytes(b"0::/\xc4\xe3\n")
    machine.quota(os.fsdecode(b"\xc4\xe3"), cpu_max="200000 100000")
    assert usable(machine).cores == 2


@pytest.mark.parametrize("maximum", ["1000 -5", "1000 0", "-1 100000", "1000", "much"])
def test_a_quota_that_is_none_does_not_count(machine, maximum):
    several(machine, 8)
    machine.member_of("0::/")
    machine.quota("", cpu_max=maximum)
    assert usable(machine) == (8, {*range(8)}, None)


def test_a_group_that_lies_outside_is_not_walked_to(machine):
    several(machine, 8)
    machine.member_of("0::/../../elsewhere")
    machine.quota("../../elsewhere", cpu_max="100000 100000")
    assert usable(machine).cores == 8


def test_a_large_quota_limits_nothing(machine):
    several(machine, 2)
    machine.quota("", cpu_max="3200000 100000")
    assert threads.explain_threads() == (2, "physical cores")


# --- what decides, and what is told ---


def test_what_the_user_asks_for_comes_first(machine, monkeypatch):
    several(machine, 4, capacity=381)
    several(machine, 4, first=4, capacity=1024)
    machine.quota("", cpu_max="200000 100000")
    expected = "the stronger cores, CPU 4-7; a quota of 2 CPUs (cgroup)"
    assert threads.explain_threads() == (2, expected)
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert threads.explain_threads() == (5, "OMP_NUM_THREADS=5")
    monkeypatch.setenv("RGZ_NUM_THREADS", "3")
    assert threads.explain_threads() == (3, "RGZ_NUM_THREADS=3")
    assert threads.resolve_threads(6) == 6
    for wrong in ("many", "0", "-1", "1025", "1000000", "²"):
        monkeypatch.setenv("RGZ_NUM_THREADS", wrong)
        with pytest.raises(rgz.RgzError, match=r"RGZ_NUM_THREADS must be a whole number of threads in 1\.\.1024, got"):
            threads.explain_threads()


def test_info_names_the_kinds_of_cores_and_the_reason(tmp_path):
    machine = FakeMachine(tmp_path)
    mine = sorted(cores.allowed_cpus())
    for number in mine[1:]:
        machine.cpu(number, capacity=400, mhz=1800)
    machine.cpu(mine[0], capacity=1024, mhz=2400)
    code = (
        "import sys, pathlib, rgz.cores as c; "
        "c.SYSTEM, c.PROCESS = map(pathlib.Path, sys.argv[1:3]); "
        "from rgz.cli.app import build_app; build_app().main(sys.argv[3:])"
    )

    def info(*arguments, language="en"):
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")} | {"RGZ_LANG": language}
        command = [sys.executable, "-c", code, machine.system, machine.process, "info", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    values = json.loads(info("--json"))
    assert values["clusters"][0] == {"cpus": [mine[0]], "cores": 1, "capacity": 1024, "mhz": 2400}
    text = info()
    assert f"1 x 2.40 GHz (CPU {mine[0]})" in text
    if len(mine) > 1 and values["openmp"]:
        assert values["n_threads"] == 1
        assert f"1 of {len(mine)} logical CPUs: the stronger cores, CPU {mine[0]}" in text
        assert f"{len(mine) - 1} x 1.80 GHz (CPU {cores.shown(mine[1:])})" in text
        assert f"1（共 {len(mine)} 个逻辑 CPU）：较强的核心，CPU {mine[0]}" in info(language="zh")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_the_affinity_mask_of_this_very_process_counts():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); import rgz; print(rgz.info()['n_threads'])"
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_threads_that_openmp_binds_to_cpus_leave_the_count_as_it_is():
    """Then the affinity mask is the one CPU of the thread that asks."""
    code = "import rgz; print(rgz.info()['n_threads'], rgz.info()['logical_cpus'])"
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    told = set()
    for bound in ({}, {"OMP_PROC_BIND": "true"}, {"OMP_PROC_BIND": "spread", "OMP_PLACES": "cores"}):
        command, env = [sys.executable, "-c", code], environment | bound
        told.add(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(told) == 1


def test_openmp_gives_no_more_threads_than_its_limit():
    code = "import rgz; from rgz.threads import explain_threads, resolve_threads as of; print(explain_threads(), of(3))"
    one = "(1, 'OMP_THREAD_LIMIT=1') 1" if rgz._kernels.openmp() else "(1, 'built without OpenMP') 1"
    for wished, limit, told in (("2", "1", one), ("1", "2", None), ("1", "1000000", None)):
        env = os.environ | {"RGZ_NUM_THREADS": wished, "OMP_THREAD_LIMIT": limit}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        assert done.strip() == told if told else "LIMIT" not in done


# --- names ---


@pytest.mark.parametrize(
    ("parts", "model", "name"),
    [
        (["0xd05"] * 4 + ["0xd0b"] * 4, "Orange Pi 5\0", "Orange Pi 5 (4 x Cortex-A55 + 4 x Cortex-A76)"),
        (["0xd05"] * 4 + ["0xd41"] * 3 + ["0xd44"], None, "1 x Cortex-X1 + 3 x Cortex-A78 + 4 x Cortex-A55"),
        (["0x663"] * 8, None, "8 x FTC663"),
        (["0xfff"] * 2, None, "2 x 0xfff"),
        ([], "A board\0", "A board"),
    ],
)
def test_a_processor_of_arm_is_named_by_its_board_and_cores(tmp_path, monkeypatch, parts, model, name):
    blocks = [f"processor\t: {n}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n" for n, part in enumerate(parts)]
    (tmp_path / "cpuinfo").write_text("\n".join(blocks))
    if model is not None:
        (tmp_path / "device-tree").mkdir()
        (tmp_path / "device-tree/model").write_text(model)
    monkeypatch.setattr(cpu, "_PROC", tmp_path)
    assert cpu.name() == name


def test_a_processor_with_a_name_has_that(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD Ryzen 5 | x\n")
    monkeypatch.setattr(cpu, "_PROC", tmp_path)
    assert cpu.name() == "AMD Ryzen 5 | x"
    machine = {"cpu": cpu.name(), "isa": "avx2", "n_threads": 6}
    line = line_to_post(machine, parameters=4_718_848, peak=401.6, tokens=12345.6, share=0.914, writing=4321.9)
    assert line == (
        f"rgz {rgz.__version__} | AMD Ryzen 5 / x | avx2, 6 threads | sgemm 402 GFLOP/s | "
        "train 4.72 M: 12,346 tokens/s (91% of sgemm) | generate 4,322 tokens/s"
    )
