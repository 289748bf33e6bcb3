-- Argo CD's health of an LsmPolicy. The message is that of the condition which decides.
local function of(type)
  if obj.status == nil or obj.status.conditions == nil then
    return nil
  end
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == type then
      return condition
    end
  end
  return nil
end

local function is(condition, status)
  return condition ~= nil and condition.status == status
end

local function health(status, condition)
  return { status = status, message = condition.reason .. ": " .. condition.message }
end

local observed = obj.status ~= nil and obj.status.observedGeneration or nil
if observed == nil or observed ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not looked at this version yet" }
end

-- The circuit breaker holds what nodes show, so Ready may tell of less than it seems.
local held = of("ChangesHeld")
if is(held, "True") then
  return health("Degraded", held)
end

-- These changes wait for a person or for a time, and nothing is wrong.
local mounted = of("SecurityfsMounted")
if is(mounted, "False") and (mounted.reason == "Held" or mounted.reason == "OutsideWindow"
    or mounted.reason == "Suggested") then
  return health("Suspended", mounted)
end

local stalled = of("Stalled")
if is(stalled, "True") then
  return health("Degraded", stalled)
end
local reconciling = of("Reconciling")
if is(reconciling, "True") then
  return health("Progressing", reconciling)
end

local ready = of("Ready")
if is(ready, "True") then
  return health("Healthy", ready)
end
if is(ready, "False") then
  return health("Degraded", ready)
end
if ready ~= nil then
  return health("Progressing", ready)
end
return { status = "Progressing", message = "the policy has no condition Ready yet" }
