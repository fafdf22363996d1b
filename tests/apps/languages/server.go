// server.go - goroutines, timers, the network poller and a call into C: a line there, a line back
package main

/*
#include <pthread.h>
static __thread int calls;
static int call(int n) { return n + (++calls > 0); }
*/
import "C"

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type job struct {
	text string
	done chan string
}

var (
	count, ticks int64
	jobs         = make(chan job)
	lock         sync.Mutex
	log          *os.File
)

func worker() {
	for j := range jobs {
		time.Sleep(50 * time.Millisecond)
		b := []byte(j.text)
		for i, k := 0, len(b)-1; i < k; i, k = i+1, k-1 {
			b[i], b[k] = b[k], b[i]
		}
		j.done <- string(b)
	}
}

func answer(verb, rest string) string {
	switch verb {
	case "count":
		lock.Lock()
		defer lock.Unlock()
		count = int64(C.call(C.int(count)))
		return fmt.Sprint(count)
	case "ticks":
		return fmt.Sprint(atomic.LoadInt64(&ticks))
	case "file":
		fmt.Fprintln(log, "line")
		at, _ := log.Seek(0, 1)
		return fmt.Sprint(at / 5)
	case "work":
		j := job{rest, make(chan string)}
		jobs <- j
		return <-j.done
	}
	return "?"
}

func serve(client net.Conn) {
	defer client.Close()
	in := bufio.NewScanner(client)
	for in.Scan() {
		verb, rest, _ := strings.Cut(strings.TrimSpace(in.Text()), " ")
		fmt.Fprintln(client, answer(verb, rest))
	}
}

func main() {
	log, _ = os.Create("log")
	for i := 0; i < 4; i++ {
		go worker()
	}
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			atomic.AddInt64(&ticks, 1)
		}
	}()
	server, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	for {
		client, err := server.Accept()
		if err != nil {
			panic(err)
		}
		go serve(client)
	}
}
