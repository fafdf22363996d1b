%% server.erl - processes, timers, gen_tcp, a file: a line there, a line back
-module(server).
-export([main/1]).

main([Port]) ->
	State = spawn(fun() -> state(0) end),
	Ticks = spawn(fun() -> {ok, _} = timer:send_interval(100, tick), ticks(0) end),
	{ok, Log} = file:open("log", [raw, write]),
	Files = spawn(fun() -> {ok, Own} = file:open("log", [raw, write]), files(Own) end),
	ok = file:close(Log),
	{ok, Listen} = gen_tcp:listen(list_to_integer(Port),
		[{ip, {127,0,0,1}}, list, {packet, line}, {active, false}, {reuseaddr, true}, {backlog, 64}]),
	accept(Listen, {State, Ticks, Files}).

accept(Listen, To) ->
	{ok, Client} = gen_tcp:accept(Listen),
	Pid = spawn(fun() -> receive go -> serve(Client, To) end end),
	ok = gen_tcp:controlling_process(Client, Pid),
	Pid ! go,
	accept(Listen, To).

serve(Client, To) ->
	case gen_tcp:recv(Client, 0) of
		{ok, Line} ->
			gen_tcp:send(Client, [answer(string:trim(Line), To), "\n"]),
			serve(Client, To);
		{error, _} -> gen_tcp:close(Client)
	end.

answer("count", {State, _, _}) -> ask(State);
answer("ticks", {_, Ticks, _}) -> ask(Ticks);
answer("file", {_, _, Files}) -> ask(Files);
answer("work " ++ Text, _) -> timer:sleep(50), lists:reverse(Text);
answer(_, _) -> "?".

ask(Pid) ->
	Pid ! {self(), ask},
	receive {Pid, N} -> integer_to_list(N) end.

state(N) -> receive {From, ask} -> From ! {self(), N + 1}, state(N + 1) end.
ticks(N) -> receive tick -> ticks(N + 1); {From, ask} -> From ! {self(), N}, ticks(N) end.
files(Log) ->
	receive {From, ask} ->
		ok = file:write(Log, "line\n"),
		{ok, At} = file:position(Log, cur),
		From ! {self(), At div 5},
		files(Log)
	end.
