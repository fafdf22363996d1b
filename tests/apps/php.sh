#!/usr/bin/env bash
# php: the interpreter as a server of its own
. "$(dirname "$0")/lib.sh"
need php
cp "$here/languages/server.php" "$work"
app_start php server.php 28230
generations 28230
