--[==[ conformance
asks: timers start and fire; one that is cancelled leaves TimerCanceled
weight: A
needs: ml.sleep ml.race
result: "short"
events:
  WorkflowExecutionStarted
  Task
  TimerStarted timerId="1" startToFireTimeout="0.050s"
  TimerFired timerId="1" startedEventId=5
  Task
  TimerStarted timerId="2" startToFireTimeout="3600s"
  TimerStarted timerId="3" startToFireTimeout="0.030s"
  TimerFired timerId="3"
  Task
  TimerCanceled timerId="2" startedEventId=10
  WorkflowExecutionCompleted result=["short"]
]==]
local ml = require "moonloop"
ml.workflow("timer/timer", function()
  ml.sleep("50ms")
  local _, which = ml.race {
    function() ml.sleep("1h") return "long" end,
    function() ml.sleep("30ms") return "short" end,
  }
  return which
end)
