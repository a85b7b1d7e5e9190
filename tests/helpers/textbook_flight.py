"""The textbook form of the flight model in float64, written independently of the engine: the reference for its tests.

State: x, y, h, V, gamma, chi, mu, n, roll rate p, lever. Singular in vertical flight, which the engine's form is not.
"""

import numpy as np

G = 9.80665
MASS, AREA = 9298.6, 27.87


def atmosphere(h):
    temperature = 288.15 - 0.0065 * h if h < 11000 else 216.65
    if h < 11000:
        return 1.225 * (temperature / 288.15) ** 4.25588, np.sqrt(401.874 * temperature)
    return 0.36392 * np.exp(-(h - 11000) / 6341.62), np.sqrt(401.874 * temperature)


def thrust_kn(h, mach, lever):
    s = atmosphere(h)[0] / 1.225
    m = min(mach, 1.2)
    full = s**1.12 * (92.68 + 17.65 * m + 16.24 * m**2 + 81.95 * m**2 * (1 - s))
    military = s**1.18 * (56.92 + 6.08 * m - 11.45 * m**2 + 52.49 * m**2 * (1 - s))
    idle = 0.05 * military
    if lever < 0.77:
        return idle + (military - idle) * lever / 0.77
    return military + (full - military) * (lever - 0.77) / 0.23


def drag_coefficient(mach, cl, brake=0.0):
    wave = np.interp(mach, [0.85, 1.1, 1.8], [0.0, 0.023, 0.015])
    return 0.0196 + wave + 0.139 * cl**2 + 0.529 * max(abs(cl) - 0.90, 0.0) ** 2 + 0.05 * brake


def rates(state, command):
    _, _, h, v, gamma, chi, mu, n, p, lever = state
    n_cmd, p_cmd, lever_cmd, brake = command
    rho, sound = atmosphere(h)
    pressure = 0.5 * rho * v * v * AREA
    cl = np.clip(n * MASS * G / pressure, -0.8, 1.5)
    n_real = cl * pressure / (MASS * G)
    drag = pressure * drag_coefficient(v / sound, cl, brake)
    thrust = 1000 * thrust_kn(h, v / sound, lever)
    chi_dot = G * n_real * np.sin(mu) / (v * np.cos(gamma))
    return np.array(
        [
            v * np.cos(gamma) * np.cos(chi),
            v * np.cos(gamma) * np.sin(chi),
            v * np.sin(gamma),
            (thrust - drag) / MASS - G * np.sin(gamma),
            G / v * (n_real * np.cos(mu) - np.cos(gamma)),
            chi_dot,
            # The bank angle counts from the horizon, so a turning flight path carries it along.
            p + chi_dot * np.sin(gamma),
            (n_cmd - n) / 0.30,
            (p_cmd - p) / 0.25,
            np.clip(lever_cmd - lever, -0.5, 0.5),
        ]
    )


def wind_axis_rates(state, command):
    """The engine's equations in float64: position (NED), unit quaternion x y z w, V, n, p, lever."""
    x, y, z, w = state[3:7]
    v, n, p, lever = state[7:]
    n_cmd, p_cmd, lever_cmd, brake = command
    rho, sound = atmosphere(-state[2])
    pressure = 0.5 * rho * v * v * AREA
    cl = np.clip(n * MASS * G / pressure, -0.8, 1.5)
    drag = pressure * drag_coefficient(v / sound, cl, brake)
    thrust = 1000 * thrust_kn(-state[2], v / sound, lever)
    forward = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    pitch = G / v * (cl * pressure / (MASS * G) - (1 - 2 * (x * x + y * y)))
    yaw = G / v * 2 * (y * z + w * x)
    turn = 0.5 * np.array(
        [
            w * p + y * yaw - z * pitch,
            w * pitch + z * p - x * yaw,
            w * yaw + x * pitch - y * p,
            -(x * p + y * pitch + z * yaw),
        ]
    )
    rest = [
        (thrust - drag) / MASS + G * forward[2],
        (n_cmd - n) / 0.30,
        (p_cmd - p) / 0.25,
        np.clip(lever_cmd - lever, -0.5, 0.5),
    ]
    return np.concatenate([v * forward, turn, rest])


def fly(state, commands, hold_s, dt, rates=rates):
    """Flies ``commands`` [K, 4], each for ``hold_s`` seconds, with Runge-Kutta steps of ``dt`` seconds."""
    state = np.array(state, float)
    for command in commands:
        for _ in range(round(hold_s / dt)):
            k1 = rates(state, command)
            k2 = rates(state + 0.5 * dt * k1, command)
            k3 = rates(state + 0.5 * dt * k2, command)
            k4 = rates(state + dt * k3, command)
            state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state
