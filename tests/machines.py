"""Machines that are not here: trees of files like /sys and /proc/self, written as Linux writes them."""

from pathlib import Path


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


class FakeMachine:
    """A folder with sys/ and self/ in it. `cpu` adds a logical CPU, `group` a control group."""

    def __init__(self, folder: Path) -> None:
        self.system, self.process = folder / "sys", folder / "self"
        self.system.mkdir(parents=True)
        self.process.mkdir()
        self.numbers: list[int] = []

    def cpu(
        self, number: int, *, capacity=None, mhz=None, siblings=None, package=0, core=None, name="core_cpus_list"
    ) -> None:
        folder = self.system / f"devices/system/cpu/cpu{number}"
        if capacity is not None:
            write(folder / "cpu_capacity", capacity)
        if mhz is not None:
            write(folder / "cpufreq/cpuinfo_max_freq", mhz * 1000)
        write(folder / "topology" / name, number if siblings is None else siblings)
        write(folder / "topology/physical_package_id", package)
        write(folder / "topology/core_id", number if core is None else core)
        self.numbers.append(number)
        self.online(",".join(map(str, self.numbers)))

    def online(self, numbers: str) -> None:
        write(self.system / "devices/system/cpu/online", numbers)

    def quota(self, folder: str, **values: object) -> None:
        """Files of the control group in fs/cgroup/`folder`; cpu_max stands for cpu.max."""
        for name, value in values.items():
            write(self.system / "fs/cgroup" / folder / name.replace("_", ".", 1), value)

    def member_of(self, *lines: str) -> None:
        write(self.process / "cgroup", "\n".join(lines))
