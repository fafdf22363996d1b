#!/usr/bin/env bash
# R: connections, linear algebra
. "$(dirname "$0")/lib.sh"
need Rscript
cp "$here/languages/server.R" "$work"
app_start Rscript --vanilla server.R 28280
generations 28280
