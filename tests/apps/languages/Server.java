/* Server.java - pools, a scheduler, NIO, a hash that gets compiled: a line there, a line back */
import java.io.*;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Server {
	static final AtomicLong count = new AtomicLong(), ticks = new AtomicLong();
	static final ExecutorService pool = Executors.newFixedThreadPool(4);
	static RandomAccessFile log;

	static String reverse(String s) {
		long h = 1;
		for (int i = 0; i < 200000; i++)
			h = h * 31 + s.charAt(i % s.length());
		return h == 0 ? "" : new StringBuilder(s).reverse().toString();
	}

	static synchronized long file() throws IOException {
		log.writeBytes("line\n");
		return log.getFilePointer() / 5;
	}

	static String answer(String verb, String rest) throws Exception {
		switch (verb) {
		case "count": return "" + count.incrementAndGet();
		case "ticks": return "" + ticks.get();
		case "file": return "" + file();
		case "work": return pool.submit(() -> { Thread.sleep(50); return reverse(rest); }).get();
		case "gc": System.gc(); return "ok";
		default: return "?";
		}
	}

	static void serve(SocketChannel client) {
		try (client) {
			var in = new BufferedReader(Channels.newReader(client, "UTF-8"));
			String line;
			while ((line = in.readLine()) != null) {
				String[] words = line.strip().split(" ", 2);
				client.write(ByteBuffer.wrap((answer(words[0], words.length > 1 ? words[1] : "") + "\n").getBytes()));
			}
		} catch (Exception e) {
			System.out.println(e);
		}
	}

	public static void main(String[] args) throws Exception {
		log = new RandomAccessFile("log", "rw");
		Executors.newScheduledThreadPool(2).scheduleAtFixedRate(ticks::incrementAndGet, 100, 100, TimeUnit.MILLISECONDS);
		var server = ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
		server.configureBlocking(false);
		var selector = Selector.open();
		server.register(selector, SelectionKey.OP_ACCEPT);
		while (true) {
			selector.select(500);
			selector.selectedKeys().clear();
			SocketChannel client = server.accept();
			if (client != null) {
				client.configureBlocking(true);
				new Thread(() -> serve(client)).start();
			}
		}
	}
}
