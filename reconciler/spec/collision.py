"""Instances that get in each other's way. The rule here: one place is written by one instance, and read by others only after it."""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.spec.instance import Instance, opened
from reconciler.spec.job import Job
from reconciler.spec.location import Location, Root, folders_of, is_data_of, is_partition_of, location
from reconciler.spec.problem import Problems, Spot


def check_collisions(instances: Sequence[Instance], jobs: Mapping[str, Job], spec_files: Iterable[str], root: Root, problems: Problems) -> None:
    specs = {("file", root.absolute(file)): file for file in spec_files}
    writers: dict[Location, Instance] = {}
    for instance in instances:
        place = location(opened(instance.spec, "output"), root)
        if place is None:
            continue
        first = writers.setdefault(place, instance)
        spot = _spot(jobs, instance, "output_settings")
        if first is not instance:
            detail = f"{instance.address} would write what {first.address} ({first.file} line {first.line}) writes. Give each an output of its own."
            problems.add(spot, "Same output", detail, address=instance.address)
        if place in specs:
            detail = f"{specs[place]} is a file of this configuration; scoring would overwrite it."
            problems.add(spot, "Output is a specification", detail, address=instance.address)
    _check_partitions(jobs, writers, problems)
    _check_intakes(instances, jobs, writers, root, problems)


def _check_partitions(jobs: Mapping[str, Job], writers: Mapping[Location, Instance], problems: Problems) -> None:
    """A run removes what an earlier one left in the partitions of its folder, and takes another job's files there for that."""
    folders = {place: writer for place, writer in writers.items() if writer.spec["output"].get("partitionColumns")}
    for folder, owner in folders.items():
        for place, writer in writers.items():
            if writer is not owner and is_partition_of(place, folder):
                detail = (
                    f"{writer.address} would write into the partitions of {owner.address} ({owner.file} line {owner.line}), which removes there "
                    "what it has not written itself. Give each a folder of its own."
                )
                problems.add(_spot(jobs, writer, "output_settings"), "Output in another one's partitions", detail, address=writer.address)


def _check_intakes(
    instances: Sequence[Instance], jobs: Mapping[str, Job], writers: Mapping[Location, Instance], root: Root, problems: Problems
) -> None:
    inside: dict[Location, list[Location]] = {}
    for place in writers:
        for folder in folders_of(place):
            inside.setdefault(folder, []).append(place)
    for instance in instances:
        intake = opened(instance.spec, "intake")
        source = location(intake, root)
        if source is None:
            continue
        format = intake.get("format", "csv")
        for place in [source, *(place for place in inside.get(source, ()) if is_data_of(place, source, format))]:
            writer = writers.get(place)
            if writer is instance:
                spot = _spot(jobs, instance, "output_settings")
                does = "overwrite the rows it scores" if place == source else "add its scores to the rows it scores"
                problems.add(spot, "Output is the intake", f"The job would {does}. Give the output another place.", address=instance.address)
            elif writer is not None and writer.address not in instance.depends_on:
                spot = _spot(jobs, instance, "intake_settings")
                problems.add(spot, "Missing dependency", _advice(writer, place == source), address=instance.address)


def _advice(writer: Instance, is_all: bool) -> str:
    said = f"{'This' if is_all else 'Something in this folder'} is written by {writer.address}, and nothing says that it comes first."
    if is_all and (writer.output_file is not None or "url" in writer.spec["output"]):
        return f"{said} Write ${{{writer.address}.output}} here."
    return f"{said} Add depends_on: ['{writer.address}']."


def _spot(jobs: Mapping[str, Job], instance: Instance, side: str) -> Spot:
    """The value that names the place, or the whole block."""
    job = jobs[instance.address.removeprefix("job.").split("[", 1)[0]]
    spot, block = job.spot_of(side), job.body[side]
    key = next((key for key in ("path", "file", "url", "table") if isinstance(block, dict) and key in block), None)
    return spot / key if key else spot
