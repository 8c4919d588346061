# SPDX-License-Identifier: Apache-2.0
"""What the gRPC programs and origins have in common: grpcio, with bytes for messages, so that nothing is generated.

It knows nothing of ambassador. An origin has one service `T` with a method for each kind of call.
"""
import grpc, os, queue, sys, threading, time
from concurrent import futures
from grpc import StatusCode

ADDRESS = "10.77.0.2:8080"
LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()

def serve(unary=None, server_stream=None, client_stream=None, both=None, options=()):
    """Serves these methods until stdin ends."""
    methods = {}
    if unary:
        methods["Unary"] = grpc.unary_unary_rpc_method_handler(unary)
    if server_stream:
        methods["ServerStream"] = grpc.unary_stream_rpc_method_handler(server_stream)
    if client_stream:
        methods["ClientStream"] = grpc.stream_unary_rpc_method_handler(client_stream)
    if both:
        methods["Both"] = grpc.stream_stream_rpc_method_handler(both)
    server = grpc.server(futures.ThreadPoolExecutor(64), options=LARGE + list(options))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("T", methods),))
    assert server.add_insecure_port(ADDRESS)
    server.start()
    say("ready")
    sys.stdin.read()
    server.stop(0.5).wait()
    sys.stdout.flush()
    os._exit(0)

class Client:
    def __init__(self, options=()):
        # Of the client's own retries none: what is repeated is repeated by somebody else.
        self.channel = grpc.insecure_channel(ADDRESS, LARGE + [("grpc.enable_retries", 0)] + list(options))
        self.unary = self.channel.unary_unary("/T/Unary")
        self.server_stream = self.channel.unary_stream("/T/ServerStream")
        self.client_stream = self.channel.stream_unary("/T/ClientStream")
        self.both = self.channel.stream_stream("/T/Both")

def outcome(call):
    """The result of `call`, or its status."""
    try:
        return call()
    except grpc.RpcError as error:
        return "%s %s" % (error.code().name, error.details())
