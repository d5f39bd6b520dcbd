"""Made-up `/sys` and `/proc`: the files of a quiet machine, and of what disturbs one."""

CPUS = "sys/devices/system/cpu"
ZONE = "sys/class/thermal/thermal_zone0"
CLOCK_SOURCE = "sys/devices/system/clocksource/clocksource0"
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
SWAPS = "Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
OTHER = 4_194_303  # a process id that the kernel gives to nobody
KERNEL_THREAD = 0x0020_0000
STAT = f"proc/{OTHER}/stat"
CGROUP = f"proc/{OTHER}/cgroup"

QUIET = {
    f"{CPUS}/online": "0-1",
    f"{CPUS}/isolated": "1",
    f"{CPUS}/nohz_full": "1",
    f"{CPUS}/smt/active": "0",
    f"{CPUS}/intel_pstate/no_turbo": "1",
    **{
        f"{CPUS}/cpu{core}/{file}": text
        for core in (0, 1)
        for file, text in {
            "cpufreq/scaling_governor": "performance\n",
            "cpufreq/scaling_cur_freq": "1498000\n",
            "cpufreq/scaling_max_freq": "1500000\n",
            "cpufreq/cpuinfo_max_freq": "1500000\n",
            "thermal_throttle/core_throttle_count": "0\n",
            "thermal_throttle/package_throttle_count": "0\n",
            "topology/thread_siblings_list": f"{core}\n",
        }.items()
    },
    FIRMWARE: "0\n",
    f"{ZONE}/type": "cpu-thermal\n",
    f"{ZONE}/temp": "48312\n",
    f"{ZONE}/trip_point_0_type": "active\n",
    f"{ZONE}/trip_point_0_temp": "45000\n",
    f"{ZONE}/trip_point_1_type": "passive\n",
    f"{ZONE}/trip_point_1_temp": "80000\n",
    f"{ZONE}/trip_point_2_type": "critical\n",
    f"{ZONE}/trip_point_2_temp": "110000\n",
    f"{CLOCK_SOURCE}/current_clocksource": "tsc\n",
    f"{CLOCK_SOURCE}/available_clocksource": "tsc hpet acpi_pm\n",
    HUGE_PAGES: "always [madvise] never\n",
    "proc/cpuinfo": "processor : 0\nflags : fpu vme sse\n",
    "proc/meminfo": "MemTotal: 3884000 kB\nMemAvailable: 3000000 kB\n",
    "proc/swaps": SWAPS,
    "proc/loadavg": "0.05 0.10 0.15 1/90 1234\n",
    "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-1\n",
    "proc/self/personality": "00000000\n",
    "proc/sys/kernel/randomize_va_space": "0\n",
    "proc/stat": "",  # see `ticks`
}


def ticks(*, busy=0, steal=0, idle=1000, since_boot=0):
    """The kernel's accounts of two cores."""
    total = f"cpu  {busy + since_boot} 0 0 {idle} 0 0 0 {steal} 0 0\n"
    return f"{total}cpu0 0 0 0 0\ncpu1 0 0 0 0\nbtime 1\n"


def process(used, *, name="chrome", flags=0):
    return f"{OTHER} ({name}) R 1 1 1 0 -1 {flags} 0 0 0 0 {used} 0 0 0 20 0 1 0 5 0 0"


def each_core(file, text):
    return {f"{CPUS}/cpu{core}/{file}": text for core in (0, 1)}
