"""What knows no network: errors, units, validated records, files, tables, texts, graphs, processes."""
