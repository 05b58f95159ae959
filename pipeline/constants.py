"""Physical constants and the fixed facts of Sentinel-1 IW that no annotation carries."""

SPEED_OF_LIGHT = 299_792_458.0  # m/s, exact

# WGS84 ellipsoid (EPSG:7030)
WGS84_A = 6_378_137.0  # semi-major axis, m
WGS84_F = 1.0 / 298.257_223_563
WGS84_B = WGS84_A * (1.0 - WGS84_F)  # semi-minor axis, m
WGS84_E2 = WGS84_F * (2.0 - WGS84_F)  # first eccentricity squared

EARTH_ROTATION_RATE = 7.292_115_146_706_979e-5  # rad/s
EARTH_GM = 3.986_004_418e14  # m3/s2

# Burst numbering (ESA, Sentinel-1 burst ID map): see pipeline/sentinel1/burst_id.py
BURST_BEAM_TIME = 2.758_273  # s, T_beam: one burst of each of the three subswaths
BURST_PREAMBLE_TIME = 2.299_849  # s, T_pre
ORBITS_PER_CYCLE = 175
CYCLE_DAYS = 12
ORBIT_TIME = CYCLE_DAYS * 86_400.0 / ORBITS_PER_CYCLE  # s, T_orb

# Azimuth steering is along track: the burst window of METHODS is written range x azimuth.
IW_SWATHS = ("IW1", "IW2", "IW3")
