"""clock.py - for clocks.sh: says how often it looked, and ends when a clock runs backwards"""
import time

CLOCKS = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC_RAW)
last = [time.clock_gettime(c) for c in CLOCKS]
looks = 0
with open('looks', 'w') as out:
    while True:
        for _ in range(20):
            now = [time.clock_gettime(c) for c in CLOCKS]
            if any(a < b for a, b in zip(now, last)):
                raise SystemExit(f'backwards: {last} to {now}')
            if now[0] > last[0] + 60:
                raise SystemExit(f'leapt: {last} to {now}')
            last = now
            time.sleep(0.002)
        looks += 1
        out.seek(0)
        out.write(f'{looks}\n')
        out.flush()
