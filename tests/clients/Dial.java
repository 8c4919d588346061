// SPDX-License-Identifier: Apache-2.0
// What Java programs build on connect(): sockets, channels and both HTTP clients, to every kind of destination. One line
// per case: CASE RESULT MILLISECONDS. It knows nothing of ambassador.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.concurrent.Callable;

public class Dial {
    static final int OPEN = 7000, CLOSED = 7001, HTTP = 7080, PATIENCE = 700;

    static final Object[][] PLACES = {
        {"open", "10.77.0.2", OPEN}, {"closed", "10.77.0.2", CLOSED},
        {"open6", "fd77::2", OPEN}, {"closed6", "fd77::2", CLOSED},
        {"unreachable", "10.91.0.1", OPEN}, {"unreachable6", "fd91::1", OPEN},
        {"no-route", "192.0.2.1", OPEN}, {"no-route6", "2001:db8::1", OPEN},
        {"black-hole", "10.77.0.9", OPEN}, {"black-hole6", "fd77::9", OPEN},
    };

    interface Way {
        String dial(InetSocketAddress address) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        // What is loaded and compiled on the way belongs to no case.
        for (Object[] place : new Object[][] {PLACES[0], PLACES[1]}) {
            InetSocketAddress address = new InetSocketAddress((String) place[1], (Integer) place[2]);
            for (Way way : new Way[] {Dial::socket, Dial::channel, Dial::selector}) {
                attempt(() -> way.dial(address));
            }
        }
        attempt(() -> urlConnection(HTTP));
        attempt(() -> httpClient(HTTP));

        for (Object[] place : PLACES) {
            InetSocketAddress address = new InetSocketAddress((String) place[1], (Integer) place[2]);
            say("socket-" + place[0], () -> socket(address));
            say("selector-" + place[0], () -> selector(address));
            if (!place[0].toString().startsWith("black-hole")) {
                say("channel-" + place[0], () -> channel(address));
            }
        }
        for (int port : new int[] {HTTP, CLOSED}) {
            say("url-connection-" + port, () -> urlConnection(port));
            say("http-client-" + port, () -> httpClient(port));
        }
        say("http-client-black-hole", () -> httpClient("http://10.77.0.9:7080/"));
        say("url-connection-black-hole", () -> urlConnection("http://10.77.0.9:7080/"));
        say("own-server", Dial::ownServer);
    }

    static String socket(InetSocketAddress address) throws Exception {
        try (Socket socket = new Socket()) {
            socket.connect(address, PATIENCE);
            return reached(new BufferedReader(new InputStreamReader(socket.getInputStream())), socket.getLocalSocketAddress());
        }
    }

    static String channel(InetSocketAddress address) throws Exception {
        try (SocketChannel channel = SocketChannel.open(address)) {
            return reached(new BufferedReader(new InputStreamReader(channel.socket().getInputStream())), channel.getLocalAddress());
        }
    }

    static String selector(InetSocketAddress address) throws Exception {
        try (SocketChannel channel = SocketChannel.open(); Selector selector = Selector.open()) {
            channel.configureBlocking(false);
            if (!channel.connect(address)) {
                channel.register(selector, SelectionKey.OP_CONNECT);
                if (selector.select(PATIENCE) == 0) {
                    return "own-timeout";
                }
                channel.finishConnect();
            }
            return channel.getRemoteAddress().toString() + "<" + host(channel.getLocalAddress());
        }
    }

    static String urlConnection(int port) throws Exception {
        return urlConnection("http://10.77.0.2:" + port + "/");
    }

    static String urlConnection(String url) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setConnectTimeout(PATIENCE);
        return connection.getResponseCode() + new String(connection.getInputStream().readAllBytes());
    }

    static String httpClient(int port) throws Exception {
        return httpClient("http://10.77.0.2:" + port + "/");
    }

    static String httpClient(String url) throws Exception {
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofMillis(PATIENCE)).build();
        HttpResponse<String> response =
            client.send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
        return response.statusCode() + response.body() + response.version();
    }

    /** A server of the same program, at an address of the machine. */
    static String ownServer() throws Exception {
        try (ServerSocket server = new ServerSocket(0);
                SocketChannel client = SocketChannel.open(new InetSocketAddress("10.77.0.1", server.getLocalPort()));
                Socket accepted = server.accept()) {
            client.write(ByteBuffer.wrap("hello\n".getBytes()));
            String line = new BufferedReader(new InputStreamReader(accepted.getInputStream())).readLine();
            return line + "<" + accepted.getInetAddress().getHostAddress() + "<" + host(client.getLocalAddress());
        }
    }

    /** The server says at which address it was reached. */
    static String reached(BufferedReader from, java.net.SocketAddress own) throws Exception {
        return from.readLine() + "<" + host(own);
    }

    static String host(java.net.SocketAddress address) {
        return ((InetSocketAddress) address).getAddress().getHostAddress();
    }

    static String attempt(Callable<String> work) {
        try {
            return work.call();
        } catch (Exception error) {
            String causes = "";
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                causes += cause.getClass().getName() + ":" + cause.getMessage() + ";";
            }
            return causes;
        }
    }

    static void say(String name, Callable<String> work) {
        long start = System.nanoTime();
        String result = attempt(work);
        double took = (System.nanoTime() - start) / 1e6;
        System.out.printf("%s %s %.1f%n", name, result.replace(' ', '_'), took);
    }
}
