"""Every parser of what strangers send is shown damaged and hostile files.

Each case is a whole file that is changed: its bytes, or what it says. A parser takes it, or refuses
it with a ValueError or an OSError that names the file. Nothing else may come out, nothing may run,
and it may not take long.

The suite tries a few cases of each. To try many:

    SDTUNE_FUZZ_CASES=2000 pytest tests/fuzzing
"""
