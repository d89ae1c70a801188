def write_report(path, plan, replayed, pool, report):
    pass
