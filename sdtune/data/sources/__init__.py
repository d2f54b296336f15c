"""Sources of pictures: the ways in which people keep them, a file each, behind one protocol.

What a location is, is found out by a look and said in one line. The source that is most certain
reads it, and of equals the first in this table; what else it looks like stands in the line, and
`data.source` chooses.

| source          | a location is taken for it by                                    | certain |
|-----------------|------------------------------------------------------------------|---------|
| `saved_dataset` | `state.json` and `dataset_info.json`, or `dataset_dict.json`     | 2       |
| `webdataset`    | a file or pattern that ends in `.tar`                            | 2       |
|                 | a folder with `.tar` files and no pictures in it                 | 1       |
| `kohya`         | a folder `<repeats>_<name>` with pictures, no metadata beside it | 1       |
|                 | and no more pictures there; no year, date or row of `01`, `02`   |         |
| `imagefolder`   | `metadata.parquet` in the folder                                 | 2       |
|                 | `metadata.jsonl`, `.csv` or `.parquet` one or two folders below  | 1       |
| `folder`        | `metadata.jsonl` or `.csv` in the folder                         | 2       |
|                 | any other folder                                                 | 0       |
| `hub`           | `owner/name`, where no file or folder has that name              | 0       |

Several locations are a mapping of each to its repeats, see `sdtune.data.sources.locations`.
"""

from sdtune.data.problems import Problem
from sdtune.data.sources.registry import check_source, register
from sdtune.data.sources.source import Asked, Listed, Listing, Sign, Source

__all__ = ["Asked", "Listed", "Listing", "Problem", "Sign", "Source", "check_source", "register"]
