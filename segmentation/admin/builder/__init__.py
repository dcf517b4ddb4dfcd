"""The builder's parts that know definitions only: fields of rules, metrics, tags and layerings."""
