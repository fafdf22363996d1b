# server.R - socketSelect over connections, a timer, linear algebra: a line there, a line back
port <- as.integer(commandArgs(TRUE)[1])
server <- serverSocket(port)
clients <- list()
count <- 0
ticks <- 0
log <- file("log", "w+")
lines <- 0
nextTick <- Sys.time() + 0.1
set.seed(1)
m <- crossprod(matrix(rnorm(10000), 100))

answer <- function(verb, rest) {
	switch(verb,
		count = { count <<- count + 1; format(count) },
		ticks = format(ticks),
		file = { writeLines("line", log); flush(log); lines <<- lines + 1; format(file.size("log") / 5) },
		work = { stopifnot(max(abs(solve(m) %*% m - diag(100))) < 1e-6); paste(rev(strsplit(rest, "")[[1]]), collapse = "") },
		"?")
}

repeat {
	ready <- socketSelect(c(list(server), clients), timeout = 0.02)
	if (ready[1])
		clients <- c(clients, list(socketAccept(server, blocking = TRUE, open = "r+", timeout = 60)))
	for (client in clients[ready[-1]]) {
		line <- tryCatch(readLines(client, 1), error = function(e) character(0))
		if (length(line) == 0) {
			clients <- Filter(function(c) !identical(c, client), clients)
			close(client)
			next
		}
		words <- strsplit(trimws(line), " ")[[1]]
		writeLines(answer(words[1], paste(words[-1], collapse = " ")), client)
		flush(client)
	}
	while (Sys.time() >= nextTick) {
		ticks <- ticks + 1
		nextTick <- max(nextTick + 0.1, Sys.time())
	}
}
