#!/usr/bin/python3
"""reader.py - reads checkpoints by docs/IMAGE.md alone: tests/golden/reader.py DIR...

A reader as a stranger would write it in another language. It takes the
records from the document's own tables and knows nothing of the sources, so
what the document doesn't say, or says wrong, shows here.
"""
import bisect
import os
import re
import stat
import sys

import msgpack
import xxhash

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/IMAGE.md")
NONE = 4294967295
PAGE = 4096
RANGES = {"u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1), "i32": (-2**31, 2**31 - 1), "i64": (-2**63, 2**63 - 1), "obj": (0, NONE)}


class Damaged(Exception):
    pass


def tables(path):
    """The document's tables of fields: record -> field -> (type, record of a list's items or of the field, may be missing)."""
    records, name = {}, None
    for line in open(path, encoding="utf-8"):
        heading = re.match(r"#+ (\S+)", line)
        row = re.match(r"\| `([^`]+)` \| (?:(list of )?\[([^\]]+)\]\([^)]*\)|(\w+)) \| (.*) \|$", line)
        if heading:
            name = heading.group(1)
        elif row and name:
            field, many, sub, plain, meaning = row.groups()
            records.setdefault(name, {})[field] = (plain or ("list" if many else "rec"), sub, "*added*" in meaning)
    return records


def contents_with_pages(path):
    """What kinds of region may have pages in the image: a sentence of the document, "whose content is 0, 1 or 6"."""
    words = re.search(r"each run lies within one region \S+ whose content is ([0-9, or]+)", open(path, encoding="utf-8").read())
    return {int(n) for n in re.findall(r"\d+", words.group(1))}


RECORDS = tables(DOCUMENT)
WITH_PAGES = contents_with_pages(DOCUMENT)


def text(b):
    return b.decode("utf-8", "surrogateescape")


def check_value(where, kind, sub, value):
    if kind in RANGES:
        low, high = RANGES[kind]
        if type(value) is not int or not low <= value <= high:
            raise Damaged(f"{where}: {value!r} is no {kind}")
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bin" and isinstance(value, bytes):
        return value
    if kind == "list" and isinstance(value, list):
        return [check_record(f"{where}[{i}]", sub, item) for i, item in enumerate(value)]
    if kind == "rec" and isinstance(value, dict):
        return check_record(where, sub, value)
    raise Damaged(f"{where}: {value!r} is no {kind}")


def check_record(where, name, body):
    fields = RECORDS.get(name)
    # A kind without state has a section, but no table.
    if fields is None:
        raise Damaged(f"{where}: the document has no record {name}")
    if not isinstance(body, dict):
        raise Damaged(f"{where}: not a map")
    for field in body:
        if field not in fields:
            raise Damaged(f"{where}.{field}: the document has no such field")
    out = {}
    for field, (kind, sub, added) in fields.items():
        if field in body:
            out[field] = check_value(f"{where}.{field}", kind, sub, body[field])
        elif added:
            out[field] = {"str": "", "bin": b"", "list": []}.get(kind, 0)
        else:
            raise Damaged(f"{where}.{field} is missing")
    return out


def unpack(data):
    pairs = []

    def once(items):
        body = dict(items)
        if len(body) != len(items):
            raise Damaged("a field is there twice")
        pairs.append(body)
        return body

    return msgpack.unpackb(data, raw=False, unicode_errors="surrogateescape", object_pairs_hook=once, strict_map_key=True)


def frames(path, what):
    """(tag, record) of a metadata file between its head and its end; the whole file's hash beside it."""
    data = open(path, "rb").read()
    stream = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", max_buffer_size=len(data))
    stream.feed(data)
    out, ended = [], False
    for frame in stream:
        if ended or len(frame) != 3:
            raise Damaged(f"{path}: what is behind the end")
        tag, body, digest = frame
        if xxhash.xxh3_64_intdigest(body) != digest:
            raise Damaged(f"{path}: hash of frame {len(out)} ({tag})")
        record = unpack(body)
        if not out:
            if tag != "skshim" or record["version"] != 1 or record["what"] != what:
                raise Damaged(f"{path}: head {tag} {record}")
            record = check_record(path, "head", record)
        elif tag == "end":
            ended = True
            if check_record(path, "end", record)["frames"] != len(out):
                raise Damaged(f"{path}: frames are missing")
            continue
        else:
            record = check_record(f"{os.path.basename(path)} frame {len(out)} {tag}", tag, record)
        out.append((tag, record))
    if not ended or stream.tell() != len(data):
        raise Damaged(f"{path}: has no end")
    return out[1:], xxhash.xxh3_64_intdigest(data), len(data)


def read_pages(directory, pid, vmas, runs, size):
    at, covered = 0, []
    with open(f"{directory}/{pid}.pages", "rb") as f:
        for tag, run in runs:
            if tag != "run" or run["at"] != at:
                raise Damaged(f"{pid}.runs: {tag} {run} at {at}")
            data = f.read(run["pages"] * PAGE)
            if len(data) != run["pages"] * PAGE or xxhash.xxh3_64_intdigest(data) != run["hash"]:
                raise Damaged(f"{pid}.pages: {run}")
            at += len(data)
            covered.append((run["start"], run["start"] + len(data)))
    if at != size:
        raise Damaged(f"{pid}.pages: {size} bytes, runs have {at}")
    covered.sort()
    for before, after in zip(covered, covered[1:]):
        if before[1] > after[0]:
            raise Damaged(f"{pid}.pages: a page twice")
    regions = [v for v in vmas if v["content"] in WITH_PAGES]
    starts = [v["start"] for v in regions]
    for start, end in covered:
        i = bisect.bisect_right(starts, start) - 1
        if i < 0 or end > regions[i]["end"]:
            raise Damaged(f"{pid}.pages: {start:x}-{end:x} is in no region")
    return at // PAGE


def read_process(directory, pid, sums):
    found, digest, size = frames(f"{directory}/{pid}.task", "task")
    runs, runs_digest, runs_size = frames(f"{directory}/{pid}.runs", "runs")
    for name, h, n in ((f"{pid}.task", digest, size), (f"{pid}.runs", runs_digest, runs_size)):
        if (sums[name]["hash"], sums[name]["size"]) != (h, n):
            raise Damaged(f"{name}: not the one the manifest means")
    if found[0][0] != "process" or found[0][1]["pid"] != pid:
        raise Damaged(f"{pid}.task: begins with {found[0][0]}")
    process, objects, i = found[0][1], [], 1
    while i < len(found):
        tag, common = found[i]
        if tag != "object" or common["obj"] != len(objects) or found[i + 1][0] != common["kind"]:
            raise Damaged(f"{pid}.task: frame {i + 1} is a {tag}")
        objects.append((common["kind"], found[i + 1][1]))
        i += 2
        if i < len(found) and found[i][0] == "lineage":
            if found[i][1]["obj"] != common["obj"]:
                raise Damaged(f"{pid}.task: lineage of {found[i][1]['obj']} behind {common['obj']}")
            i += 1
    for fd in process["fds"]:
        if fd["obj"] >= len(objects):
            raise Damaged(f"{pid}.task: fd {fd['fd']} is of no object")
    pages = read_pages(directory, pid, process["vmas"], runs, sums[f"{pid}.pages"]["size"])
    return process, objects, pages


def read_image(directory):
    found, _, _ = frames(f"{directory}/manifest", "manifest")
    if len(found) != 1 or found[0][0] != "manifest":
        raise Damaged("manifest: frames")
    manifest = found[0][1]
    sums = {s["name"]: s for s in manifest["files"]}
    there = set(os.listdir(directory))
    if there != set(sums) | {"manifest"}:
        raise Damaged(f"files: {there ^ (set(sums) | {'manifest'})}")
    for name in there:
        st = os.lstat(f"{directory}/{name}")
        if not stat.S_ISREG(st.st_mode) or (name in sums and st.st_size != sums[name]["size"]):
            raise Damaged(f"{name}: type or size")
    processes = [read_process(directory, p["pid"], sums) for p in manifest["processes"]]
    kinds, members = {}, set()
    for m in manifest["members"]:
        kind = processes[m["process"]][1][m["obj"]][0]
        if kinds.setdefault(m["global"], kind) != kind or (m["process"], m["obj"]) in members:
            raise Damaged(f"member {m}")
        members.add((m["process"], m["obj"]))
    if sorted(kinds) != list(range(manifest["objects"])) or len(members) != sum(len(p[1]) for p in processes):
        raise Damaged("objects and members don't agree")
    return manifest, processes, kinds


def main():
    for directory in sys.argv[1:]:
        try:
            _, processes, kinds = read_image(directory)
        except Damaged as e:
            sys.exit(f"{directory}: {e}")
        print(f"{directory}: {len(processes)} processes, {sum(len(p[0]['threads']) for p in processes)} threads, "
              f"{len(kinds)} objects ({' '.join(sorted(set(kinds.values())))}), {sum(p[2] for p in processes)} pages")


main()
